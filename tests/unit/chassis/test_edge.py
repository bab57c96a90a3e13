"""What an Edge puts on the wire, and what it makes of what comes back."""

import json

import httpx
import pytest

from chassis import runtime
from chassis.clients import InDoubt, NotSent, Refused, Upstream
from chassis.telemetry import Metrics
from resilience import Policy
from resilience.testing import run_virtual


class Wire(httpx.AsyncBaseTransport):
    """Keeps the requests, and answers or raises what it is given."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.seen = []

    async def handle_async_request(self, request):
        self.seen.append(request)
        answer = self.answers.pop(0) if self.answers else httpx.Response(200, json={})
        if isinstance(answer, Exception):
            raise answer
        return answer


def edge(wire, base_url="http://payments:5003"):
    upstream = Upstream("payments", base_url, runtime.simulated(1, {"payments": wire}), Metrics())
    return upstream.edge("pay", Policy(attempt_s=1.0))


def sent(method="POST", path="/pay", base_url="http://payments:5003", **how):
    """The one request that a `send` makes."""
    wire = Wire()
    run_virtual(edge(wire, base_url).send(method, path, **{"headers": {}, **how}))
    return wire.seen[0]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"json": {"name": "Añá “x”", "n": [1, None, 2.5]}},
        {"json": {}},
        {"content": b"raw"},
        {"content": b""},
        {"content": b"{}", "headers": {"content-type": "application/merge-patch+json"}},
        {"json": {}, "headers": {"accept-language": "en", "accept": "text/html"}},
    ],
)
def test_a_request_is_what_a_client_of_httpx_would_send(method, how):
    context = {"x-request-id": "-", "accept-language": "es"}
    client = httpx.AsyncClient(
        base_url="http://payments:5003", timeout=httpx.Timeout(None, pool=1.0), trust_env=False
    )
    expected = client.build_request(
        method, "/pay", **{**how, "headers": {**context, **how.get("headers", {})}}
    )
    request = sent(method, **how)
    assert (request.method, request.url) == (expected.method, expected.url)
    assert request.read() == expected.read()
    # Of what a client says by itself, only what its callee needs to know.
    spoken = {"host", "content-type", "content-length", *context, *how.get("headers", {})}
    wanted = [(name, value) for name, value in expected.headers.items() if name in spoken]
    assert sorted(request.headers.items()) == sorted(wanted)
    assert request.extensions == expected.extensions


@pytest.mark.parametrize(
    "base_url", ["http://t:1", "http://t:1/", "http://t/below", "http://[::1]:9"]
)
@pytest.mark.parametrize(
    "path",
    ["/", "/pay", "/payments/a%2Fb", "/readyz?verbose=1", "//evil.test/x", "/ñ ü", "/a/../b"],
)
def test_a_path_is_always_below_the_address(base_url, path):
    expected = httpx.AsyncClient(base_url=base_url, trust_env=False).build_request("GET", path)
    request = sent("GET", path, base_url)
    assert request.url == expected.url
    assert request.headers["host"] == expected.headers["host"]


def test_an_address_that_makes_no_sense_shows_at_the_start():
    with pytest.raises(httpx.InvalidURL):
        edge(Wire(), "http://t:port")


def test_cookies_are_not_kept():
    wire = Wire(httpx.Response(200, json={}, headers={"set-cookie": "who=ana; Path=/"}))

    async def twice():
        way = edge(wire)
        await way.get("/pay")
        await way.get("/pay")

    run_virtual(twice())
    assert "cookie" not in wire.seen[1].headers


def test_a_redirect_is_not_followed():
    wire = Wire(httpx.Response(307, headers={"location": "http://elsewhere.test/"}))
    with pytest.raises(InDoubt):
        run_virtual(edge(wire).get("/pay"))
    assert len(wire.seen) == 1


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (httpx.ConnectError("refused"), NotSent),
        (httpx.ReadError("reset"), InDoubt),
        (httpx.Response(503, headers={"x-shed": "1"}), NotSent),
        (httpx.Response(500), InDoubt),
        (httpx.Response(200, content=b"no JSON"), InDoubt),
        (httpx.Response(200, json=[]), InDoubt),
        (httpx.Response(409, json={"code": "sold_out"}), Refused),
        (httpx.Response(503, json={}, headers={"x-outcome": "final"}), Refused),
    ],
)
def test_an_answer_becomes_one_of_three_refusals(answer, meaning):
    with pytest.raises(meaning):
        run_virtual(edge(Wire(answer)).get("/pay"))


def test_a_body_that_cannot_be_decoded_is_in_doubt():
    class Garbled(httpx.AsyncByteStream):
        async def __aiter__(self):
            yield b"not gzip"

    answer = httpx.Response(200, headers={"content-encoding": "gzip"}, stream=Garbled())
    with pytest.raises(InDoubt):
        run_virtual(edge(Wire(answer)).get("/pay"))


def test_silence_is_in_doubt_and_says_that_time_ran_out():
    with pytest.raises(InDoubt) as caught:
        run_virtual(edge(Wire(httpx.ReadTimeout("late"))).get("/pay"))
    assert caught.value.timed_out


def test_json_that_nobody_could_read_is_a_bug_of_the_caller():
    with pytest.raises(ValueError, match="JSON compliant"):
        sent(json={"x": float("nan")})


def test_an_answer_is_decoded():
    wire = Wire(httpx.Response(200, content=json.dumps({"name": "Añá"}).encode()))
    assert run_virtual(edge(wire).get("/pay")) == {"name": "Añá"}
