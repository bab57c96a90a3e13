"""What schemathesis does besides, in its own process: checks of ours, a tally, and the switching of faults.

It is told by the environment what to do (`campaign.py`), and writes its tally to a file when it ends.
"""

import atexit
import json
import os
import random
from collections import Counter
from pathlib import Path

import requests
import schemathesis

from chaos.faults import FAULTS

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")
REACH = {
    "gateway": SERVICES,
    "reservations": SERVICES[1:],
    "inventory": ("inventory",),
    "payments": ("payments",),
    "notifications": ("notifications",),
}
"""Whose faults show in the answers of whom."""

INSTEAD = {"service_crashed", "service_down", "service_failed"}
"""Codes that a fault answers with in place of the service."""

WINDOW = 25
"""Calls between two faults."""

TTL_S = 20

NOT_OF_THE_SCHEMA = {
    # What a request must be besides well-formed, which JSON Schema cannot say; the descriptions do.
    ("POST /api/reserve", "quantity"): lambda body: "seats" in body and "quantity" in body,
    ("POST /chaos/{fault}", "seconds"): lambda body: body.get("seconds") is not None,
    ("POST /chaos/{fault}", "point"): lambda body: body.get("point") is not None,
    ("POST /api/lab/faults/{service}/{fault}", "seconds"): lambda body: True,
    ("POST /api/lab/faults/{service}/{fault}", "point"): lambda body: True,
}


class Campaign:
    """One run: what it is about, and what was seen so far."""

    def __init__(self) -> None:
        self.service = os.environ["FUZZ_SERVICE"]
        self.port = int(os.environ["FUZZ_PORT"])
        self.with_faults = os.environ["FUZZ_FAULTS"] == "1"
        self.chance = random.Random(int(os.environ["FUZZ_SEED"]))
        self.calls = Counter()  # by operation
        self.statuses = Counter()
        self.codes = Counter()
        self.lost = 0
        self.instead = 0
        self.struck = Counter()
        self.failures = []
        self._struck_service = None
        atexit.register(self.write)

    def write(self) -> None:
        seen = {name: value for name, value in vars(self).items() if name[0] != "_"}
        del seen["chance"]
        Path(os.environ["FUZZ_TALLY"]).write_text(json.dumps(seen), encoding="utf-8")

    def url(self, service: str, path: str) -> str:
        return f"http://127.0.0.1:{self.port + SERVICES.index(service)}{path}"

    def calm(self, *services: str) -> None:
        for service in services:
            for _ in range(20):  # a process that died is on its way back
                try:
                    requests.delete(self.url(service, "/chaos"), timeout=10)
                    break
                except requests.ConnectionError:
                    requests.get(self.url("gateway", "/healthz"), timeout=10)

    def strike(self) -> None:
        """The next fault, instead of the last one."""
        if self._struck_service:
            self.calm(self._struck_service)
        service = self.chance.choice(REACH[self.service])
        fault = self.chance.choice([one for one in FAULTS if one.is_offered_by(service)])
        order = self._order(fault.name, service)
        self._struck_service = service
        try:
            requests.post(self.url(service, f"/chaos/{fault.name}"), json=order, timeout=10)
        except requests.ConnectionError:
            return
        self.struck[f"{service} {fault.name}"] += 1

    def _order(self, fault: str, service: str) -> dict:
        order = {"enabled": True, "ttl_s": TTL_S, "probability": self.chance.choice([0.2, 0.5, 1])}
        if fault in ("latency", "slow_body"):
            order["seconds"] = self.chance.choice([0.05, 0.3])
        if fault == "hang":
            order["ttl_s"] = 1.5
        if fault in ("reset", "lost_reply") and service == self.service:
            order["probability"] = 0.05  # each costs the client a second
        if fault == "crash_at":
            order["probability"] = 1
        return order


CAMPAIGN = Campaign() if "FUZZ_SERVICE" in os.environ else None


@schemathesis.hook
def before_call(context, case, kwargs):
    if CAMPAIGN.with_faults and CAMPAIGN.calls.total() % WINDOW == 0:
        CAMPAIGN.strike()


@schemathesis.hook
def after_call(context, case, response):
    CAMPAIGN.calls[case.operation.label] += 1
    CAMPAIGN.statuses[response.status_code] += 1
    found = code_of(response)
    if found:
        CAMPAIGN.codes[found] += 1
    if case.operation.label == "POST /chaos/{fault}":
        CAMPAIGN.calm(CAMPAIGN.service)
    if case.operation.label == "POST /api/lab/faults/{service}/{fault}":
        CAMPAIGN.calm(*SERVICES)


@schemathesis.hook
def after_network_error(context, case, request):
    CAMPAIGN.lost += 1


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if CAMPAIGN.with_faults and code_of(response) in INSTEAD:
        CAMPAIGN.instead += 1
        return False
    CAMPAIGN.failures.append(f"{case.operation.label} {response.status_code}: {failure.title}")
    return True


def problem_of(response):
    """The problem document of an answer, None if it is none."""
    kind = response.headers.get("content-type", [""])[0]
    if not kind.startswith("application/problem+json"):
        return None
    return json.loads(response.content)


def code_of(response):
    problem = problem_of(response)
    return problem and problem.get("code")


def is_probe(case):
    """Whether the request is malformed on purpose: another method, another content type."""
    scenario = getattr(case.meta.phase.data, "scenario", None) if case.meta else None
    return scenario is not None and scenario.value in (
        "unspecified_http_method",
        "malformed_content_type",
        "unsupported_content_type",
    )


@schemathesis.check
def refusals_are_problems(ctx, response, case):
    """Every refusal is a problem document that agrees with its own head, in a language that it names."""
    if response.status_code < 400 or not response.content:
        return
    problem = problem_of(response)
    if case.operation.path == "/readyz" and response.status_code == 503 and problem is None:
        return
    assert problem is not None, "a refusal that is no problem document"
    assert problem["status"] == response.status_code
    assert problem["type"] == f"/problems/{problem['code']}"
    if problem["code"] not in INSTEAD:
        assert problem["title"], problem
        assert problem["detail"], problem
        assert [problem["request_id"]] == response.headers["x-request-id"]
    assert response.headers["content-language"][0] in ("es", "en")
    assert response.headers["x-content-type-options"] == ["nosniff"]


@schemathesis.check
def codes_are_documented(ctx, response, case):
    """The code of a refusal is among the examples of its status: 503 alone promises nothing."""
    problem = problem_of(response)
    if problem is None or is_probe(case) or problem["code"] in INSTEAD:
        return
    documented = case.operation.definition.raw["responses"].get(str(response.status_code))
    assert documented is not None, f"{response.status_code} is not documented"
    content = documented["content"].get("application/problem+json", {"examples": ()})
    examples = content["examples"]
    codes = {name.partition(".")[0] for name in examples}
    assert problem["code"] in codes, f"{problem['code']} is not among {sorted(codes)}"


@schemathesis.check
def what_is_valid_is_accepted(ctx, response, case):
    """Nobody who keeps to the schema hears that the data are invalid."""
    if not case.meta or not case.meta.generation.mode.is_positive or is_probe(case):
        return
    problem = problem_of(response)
    if problem is None or problem["code"] not in (
        "invalid_request",
        "malformed_json",
        "invalid_idempotency_key",
    ):
        return
    body = case.body if isinstance(case.body, dict) else {}
    for error in problem.get("errors", [{"field": problem["code"]}]):
        excuse = NOT_OF_THE_SCHEMA.get((case.operation.label, error["field"]))
        assert excuse, f"valid, and refused: {error}"
        assert excuse(body), f"valid, and refused: {error}"
