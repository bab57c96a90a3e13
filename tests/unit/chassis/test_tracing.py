"""Spans, with the SDK's own in-memory exporter; what crosses processes is in tests/system/test_traces.py."""

import dataclasses
import subprocess
import sys

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import gateway.app
import inventory.app
from chassis import runtime, tracing
from chassis.clients import NotSent, Upstream
from chassis.telemetry import Metrics, belonging, without_addresses
from chassis.testing import serve
from resilience import Breaker, Policy, Retry
from resilience.testing import Script

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{PARENT}-01", f"00-{TRACE}-{PARENT}-00"


class Recorder:
    """Tracing whose spans can be looked at."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("test")
        self.tracing = tracing.recording(self.tracer)

    def effects(self, **transports):
        return dataclasses.replace(runtime.simulated(1, transports), tracing=self.tracing)

    @property
    def spans(self):
        return list(self.exporter.get_finished_spans())

    def the(self, name):
        (found,) = (one for one in self.spans if one.name == name)
        return found


@pytest.fixture
def recorder():
    return Recorder()


def ids(span):
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def client(transport):
    return httpx.AsyncClient(transport=transport, base_url="http://here", timeout=None)


def hold(number=1, **more):
    return {"hold_id": f"r{number}.1", "event_id": "concert-01", "quantity": 1, **more}


def test_off_wraps_nothing_and_imports_nothing_of_the_sdk():
    off = tracing.OFF
    inner, run = object(), object()
    assert off.middleware(lambda _scope: False, is_public=False) == []
    assert off.transport(inner, "payments") is inner
    assert off.store(run, "payments") is run
    assert off.span("a", b=1) is off.span("c") is off.continued("d", {})
    assert off.carrier() is None
    assert off.listeners == ()
    code = (
        "import sys; import gateway.app, reservations.app, inventory.app, payments.app, notifications.app;"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'google', 'requests'))])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


async def test_a_request_continues_the_trace_of_its_caller_and_its_store_call_is_below_it(
    recorder, tmp_path
):
    app = inventory.app.create_app(inventory.app.Settings(data_dir=tmp_path), recorder.effects())
    async with serve(app) as transport, client(transport) as http:
        headers = {"traceparent": SAMPLED, "baggage": "a=b,reservation.id=r1;p=1"}
        assert (await http.post("/reserve", json=hold(), headers=headers)).status_code == 200
    server, store = recorder.the("POST /reserve"), recorder.the("hold inventory")
    assert server.kind is SpanKind.SERVER
    assert ids(server)[0] == ids(store)[0] == TRACE
    assert f"{server.parent.span_id:016x}" == PARENT
    assert store.parent.span_id == server.context.span_id
    assert dict(store.attributes) == {
        "db.system.name": "sqlite",
        "db.namespace": "inventory",
        "db.operation.name": "hold",
        "reservation.id": "r1",
    }
    assert dict(server.attributes) == {
        "http.request.method": "POST",
        "url.path": "/reserve",
        "url.scheme": "http",
        "http.route": "/reserve",
        "http.response.status_code": 200,
        "reservation.id": "r1",
    }


async def test_probes_and_background_work_make_no_spans(recorder, tmp_path):
    app = inventory.app.create_app(inventory.app.Settings(data_dir=tmp_path), recorder.effects())
    async with serve(app) as transport, client(transport) as http:
        for path in ("/healthz", "/readyz", "/metrics", "/docs"):
            assert (await http.get(path)).status_code == 200
    assert recorder.spans == []


@pytest.mark.parametrize(
    "header", ["nonsense", f"00-{'0' * 32}-{PARENT}-01", f"ff-{TRACE}-{PARENT}-01"]
)
async def test_a_broken_traceparent_starts_a_trace_of_its_own(recorder, tmp_path, header):
    app = inventory.app.create_app(inventory.app.Settings(data_dir=tmp_path), recorder.effects())
    async with serve(app) as transport, client(transport) as http:
        answer = await http.post(
            "/release", json={"hold_id": "x.1"}, headers={"traceparent": header}
        )
        assert answer.status_code == 200
    assert recorder.the("POST /release").parent is None


async def test_what_a_stranger_says_it_is_about_is_not_believed(recorder, tmp_path):
    effects = recorder.effects(**{name: Script(200) for name in ("gateway", *gateway.app.SERVICES)})
    settings = gateway.app.Settings(id_secret="s" * 32, chaos_enabled=True)
    async with (
        serve(gateway.app.create_app(settings, effects)) as transport,
        client(transport) as http,
    ):
        headers = {"traceparent": SAMPLED, "baggage": "reservation.id=rsomebodyelse"}
        await http.get("/problems/sold_out", headers=headers)
        await http.get("/api/nothing-here", headers=headers)
    (span,) = recorder.spans
    assert "reservation.id" not in span.attributes


async def test_every_attempt_is_a_span_that_the_callee_continues(recorder):
    script = Script(httpx.Response(503), httpx.ConnectError("no"), httpx.Response(200, json={}))
    upstream = Upstream(
        "payments", "http://payments:5003", recorder.effects(payments=script), Metrics()
    )
    edge = upstream.edge("pay", Policy(retry=Retry(3, base_s=0.01)))
    with recorder.tracer.start_as_current_span("step"):
        tracing.about("r1")
        await edge.get("/payments/r1?to=ana@example.com")
    tries = [one for one in recorder.spans if one.kind is SpanKind.CLIENT]
    step = recorder.the("step")
    assert {one.parent.span_id for one in tries} == {step.context.span_id}
    assert [one.attributes.get("error.type") for one in tries] == ["503", "ConnectError", None]
    assert [one.attributes.get("http.request.resend_count") for one in tries] == [None, 1, 2]
    assert {one.attributes["url.full"] for one in tries} == {"http://payments:5003/payments/r1"}
    assert (
        script.requests[-1].headers["traceparent"].startswith("00-{}-{}-".format(*ids(tries[-1])))
    )
    assert script.requests[-1].headers["baggage"] == "reservation.id=r1"
    told = [(one.name, one.attributes["resilience.name"]) for one in step.events]
    assert told == [(kind, "payments.pay") for kind in ("attempt", "retry", "attempt", "retry")]


async def test_a_call_that_our_policy_lets_not_out_is_an_event_of_the_step(recorder):
    script = Script(*[httpx.Response(500)] * 5)
    upstream = Upstream(
        "payments", "http://payments:5003", recorder.effects(payments=script), Metrics()
    )
    edge = upstream.edge("pay", Policy(breaker=Breaker(consecutive=5)))
    with recorder.tracer.start_as_current_span("step"):
        for _ in range(5):
            await edge.send("GET", "/", headers={})
        with pytest.raises(NotSent):
            await edge.send("GET", "/", headers={})
    rejected = recorder.the("step").events[-1]
    assert rejected.name == "rejected"
    assert rejected.attributes["resilience.reason"] == "open"


async def test_what_is_not_sampled_is_passed_on_as_such_and_not_recorded(recorder):
    script = Script(httpx.Response(200, json={}), httpx.Response(200, json={}))
    upstream = Upstream(
        "payments", "http://payments:5003", recorder.effects(payments=script), Metrics()
    )
    edge = upstream.edge("pay", Policy())
    with recorder.tracing.continued("later", {"r1": UNSAMPLED}):
        await edge.get("/")
    await edge.get("/")
    assert recorder.spans == []
    # Not the very parent: the span that would have been made here has an id, too.
    assert script.requests[0].headers["traceparent"].startswith(f"00-{TRACE}-")
    assert script.requests[0].headers["traceparent"].endswith("-00")
    assert "baggage" not in script.requests[0].headers
    assert "traceparent" not in script.requests[1].headers


def test_late_work_of_many_causes_is_in_the_trace_of_each(recorder):
    other = "a" * 32
    traces = {"r1": SAMPLED, "r2": f"00-{other}-{PARENT}-01"}
    with recorder.tracing.continued("outbox capture", traces):
        assert recorder.tracing.carrier().startswith(f"00-{TRACE}-")
        assert tracing.reservation_id.get() == "r1"
        assert belonging(None, "info", {}) == {"reservation_id": "r1", "trace_id": TRACE}
    assert belonging(None, "info", {}) == {}
    by_trace = {ids(one)[0]: one for one in recorder.spans}
    assert set(by_trace) == {TRACE, other}
    (link,) = by_trace[other].links
    assert link.context.span_id == by_trace[TRACE].context.span_id
    assert [by_trace[one].attributes["reservation.id"] for one in (TRACE, other)] == ["r1", "r2"]
    with recorder.tracing.continued("outbox capture", {}):
        assert recorder.tracing.carrier() is None
    assert len(recorder.spans) == 2


def test_an_id_that_is_none_is_not_taken_for_one():
    for nonsense in ("", "a b", "r1\r\nx: y", "é", "r" * 65):
        tracing.about(nonsense)
        assert tracing.reservation_id.get() is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("550 <ana@example.com>: nobody", "550 <***@***>: nobody"),
        ('{"to": "ana.b+c@mail.example.co.uk", "n": 1}', '{"to": "***@***", "n": 1}'),
        ("José ñandú@correo.es llegó", "José ***@*** llegó"),
        ("nothing @ all, user@host", "nothing @ all, user@host"),
    ],
)
def test_addresses_become_unreadable(line, told):
    assert without_addresses(line) == told
