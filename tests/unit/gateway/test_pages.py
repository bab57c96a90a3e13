"""The page's files: what is served, how, and that no text is missing in either language."""

import json
import re
from importlib.resources import files

import pytest

from chaos.faults import SCENARIOS
from gateway.clients.mesh import SERVICES
from gateway.errors import RELAYED
from tests.unit.gateway.conftest import bench, refusal

WEB = files("gateway") / "web"


def source(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def texts() -> dict[str, dict]:
    found = re.search(r"export const TEXTS = (\{.*\});", source("texts.js"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def holes(text: str | list[str]) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", json.dumps(text)))


async def test_pages_are_strict_about_what_they_load():
    async with bench() as desk:
        for path in ("/", "/r/r1", "/docs", "/problems/sold_out"):
            response = await desk.http.get(path)
            assert response.status_code == 200
            policy = response.headers["content-security-policy"].split("; ")
            assert policy[:3] == [
                "default-src 'self'",
                "img-src 'self' data:",
                "style-src 'self' 'unsafe-inline'",
            ]
            assert {"frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"} < set(policy)
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert response.headers["cross-origin-opener-policy"] == "same-origin"
            assert response.headers["cross-origin-resource-policy"] == "same-origin"
            assert "camera=()" in response.headers["permissions-policy"]
            assert "server" not in response.headers


async def test_a_page_asks_for_tls_for_ever_only_where_there_is_tls():
    async with bench() as desk:
        assert "strict-transport-security" not in (await desk.http.get("/")).headers
        secure = await desk.http.get("https://gateway/")
        assert secure.headers["strict-transport-security"] == "max-age=31536000"


async def test_an_answer_to_a_program_says_no_more_than_it_needs():
    async with bench(refusal(404, "reservation_not_found")) as desk:
        for path in ("/nothing", "/api/reservations/r1"):
            headers = (await desk.http.get(path)).headers
            assert headers["cache-control"] == "no-store"
            assert headers["x-content-type-options"] == "nosniff"
            assert "content-security-policy" not in headers


@pytest.mark.parametrize(("lab", "mark"), [(False, 'data-lab="0"'), (True, 'data-lab="1"')])
async def test_page_knows_whether_it_is_in_a_lab(lab, mark):
    async with bench(lab=lab) as desk:
        assert mark in (await desk.http.get("/")).text


async def test_files_have_their_types_and_are_revalidated():
    types = {"app.js": "text/javascript", "style.css": "text/css", "favicon.svg": "image/svg+xml"}
    async with bench() as desk:
        for name, kind in types.items():
            response = await desk.http.get(f"/web/{name}")
            assert response.headers["content-type"].startswith(kind)
            again = await desk.http.get(
                f"/web/{name}", headers={"If-None-Match": response.headers["etag"]}
            )
            assert (again.status_code, again.content) == (304, b"")
        for name in ("nothing.js", "index.html", "../app.py"):
            assert (await desk.http.get(f"/web/{name}")).status_code == 404


@pytest.mark.parametrize(
    ("accepts", "packs"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("GZIP", True),
        ("gzip;q=0, deflate", False),
        ("gzip;q=0.0", False),
        ("gzip;q=0.001", True),
        ("identity", False),
        ("notgzip", False),
        ("", False),
    ],
)
async def test_files_are_packed_for_those_who_take_it(accepts, packs):
    async with bench() as desk:
        plain = await desk.http.get("/web/texts.js", headers={"Accept-Encoding": "identity"})
        answer = await desk.http.get("/web/texts.js", headers={"Accept-Encoding": accepts})
        assert (answer.headers.get("content-encoding") == "gzip") is packs
        assert answer.content == plain.content  # unpacked by the client
        assert (answer.headers["etag"] == plain.headers["etag"]) is not packs
        assert answer.headers["vary"] == "Accept-Encoding, Accept-Language"
        assert (int(answer.headers["content-length"]) < len(plain.content) / 2) is packs


def test_no_file_names_another_host_or_has_inline_script():
    for entry in WEB.iterdir():
        text = entry.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, entry.name
        assert "https://" not in text, entry.name
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), entry.name
        assert not re.search(r"<[^>]+\son\w+=", text), entry.name


def test_both_languages_have_the_same_texts_with_the_same_holes():
    found = texts()
    assert list(found["es"]) == list(found["en"])
    for key, text in found["es"].items():
        assert holes(text) == holes(found["en"][key]), key
        assert type(text) is type(found["en"][key]), key


def test_every_key_that_the_page_uses_has_a_text():
    known = texts()["es"]
    for entry in WEB.iterdir():
        text = entry.read_text(encoding="utf-8")
        used = re.findall(r'data-(?:t|label)="(\w+)"', text) + re.findall(r'\bt\("(\w+)"', text)
        assert [key for key in used if key not in known] == [], entry.name


def test_every_refusal_says_what_it_means_for_money_and_seat():
    known = texts()["es"]
    of_the_lab = {
        "reservation_not_found",
        "reservation_in_progress",
        "invalid_state",
        "not_yours",
        "event_busy",
    }
    codes = set(RELAYED) - of_the_lab | {"confirmed", "pending", "refunded", "gateway_saturated"}
    codes |= {"reservations_unavailable", "deadline_exceeded", "overloaded", "no_answer", "other"}
    for code in codes:
        assert len(known[f"answer_{code}"]) == 3, code


def test_services_and_loads_have_their_words():
    known = texts()["es"]
    loads = [scenario.name for scenario in SCENARIOS if scenario.fault is None]
    assert loads == ["load", "race"]
    wanted = [f"service_{name}" for name in SERVICES]
    wanted += [f"{name}_{what}" for name in loads for what in ("go", "ok", "bad")]
    wanted += [f"state_{state}" for state in ("ready", "not_ready", "failing", "down")]
    wanted += [f"phase_{phase}" for phase in ("closed", "open", "half_open")]
    wanted += [f"log_breaker_{phase}" for phase in ("closed", "open", "half_open")]
    assert [key for key in wanted if key not in known] == []
