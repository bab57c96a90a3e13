"""docs/api.md is current, and every command on it is answered as the page says, by the mesh itself."""

import json

import pytest

from tests.contract.api_page import PAGE, page, requests
from tests.contract.schema import complaints
from tests.contract.test_openapi import SERVICES, document
from tests.support.mesh import mesh

ENDLESS = "/api/live"


def test_the_page_is_current():
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m tests.contract.api_page"


@pytest.fixture
async def running(tmp_path):
    async with mesh(tmp_path) as found:
        yield found


def wrong_in(one, answer, whole):
    """What the documents do not say of an answer; and the answer's code."""
    documented = one.operation["responses"].get(str(answer.status_code))
    if documented is None:
        return [f"status {answer.status_code} is not documented: {answer.text}"], ""
    kind = answer.headers["content-type"].partition(";")[0]
    media = documented["content"].get(kind)
    if media is None:
        return [f"{kind} is not documented"], ""
    if "json" not in kind:
        return [], ""
    body = json.loads(answer.content)
    code = body.get("code", "") if answer.status_code >= 400 else ""
    found = list(complaints(body, media.get("schema", {}), whole))
    if code and f"{code}.es" not in media["examples"]:
        found.append(f"code {code} is not documented")
    return found, code


async def test_every_example_request_is_answered_as_documented(running):
    """In the order of the page: the first buys a seat, and most of the rest find something to talk about."""
    refused, played = {}, 0
    for service in SERVICES:
        whole = document(service)
        for one in requests(service):
            if one.path == ENDLESS:
                continue  # played in tests/system/test_guides.py
            answer = await running[service].request(
                one.method, one.path, json=one.body, headers=one.headers
            )
            name = f"{service}: {one.method} {one.path} {one.body}"
            found, code = wrong_in(one, answer, whole)
            assert found == [], name
            played += 1
            if code:
                refused[name] = code
            if "/chaos/" in one.path or "faults/" in one.path:
                await running.calm()
    assert played > 60
    assert len(refused) < played / 4, refused
