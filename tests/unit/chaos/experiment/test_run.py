"""A run goes through its parts in order, judges as the Chaos Toolkit does, and always rolls back."""

import asyncio
from urllib.parse import parse_qs

import httpx
import pytest

from chaos.experiment.journal import held
from chaos.experiment.model import experiment
from chaos.experiment.run import run
from resilience import Runtime
from tests.unit.chaos.experiment.files import action, probe, small

TOOLKIT = {
    "chaoslib-version", "platform", "node", "experiment", "start", "status", "deviated",
    "steady_states", "run", "rollbacks", "end", "duration",
}  # fmt: skip
"""Members of a journal of chaostoolkit-lib 1.44."""


class Server:
    """Answers 200; breaks from /break to /mend if told so."""

    def __init__(self, **answers):
        self.asked, self.requests = [], []
        self.answers = answers
        self.broken = False

    async def __call__(self, request):
        path = request.url.path
        self.asked.append(f"{request.method} {path}")
        self.requests.append(request)
        answer = self.answers.get(path.strip("/"))
        if path in ("/break", "/mend"):
            self.broken = path == "/break"
        if isinstance(answer, Exception):
            raise answer
        if callable(answer):
            return await answer(self)
        return answer or httpx.Response(200, json={"ok": True})


class Seen:
    def __init__(self):
        self.told = []

    def phase(self, name):
        self.told.append(name)

    def done(self, activity, run):
        self.told.append((activity.name, run["status"]))


async def play(raw, server=None, seen=None):
    server = server or Server()
    runtime = Runtime(asyncio.get_running_loop().time, asyncio.sleep, lambda: 0.5)
    transport = httpx.MockTransport(server)
    return await run(experiment(raw, {}), seen or Seen(), runtime, transport)


async def only_while_whole(server):
    return httpx.Response(500 if server.broken else 200, json={})


async def test_a_run_that_holds_has_the_toolkit_s_journal_and_tells_each_step():
    server, seen = Server(), Seen()
    journal = await play(small(), server, seen)
    assert held(journal)
    assert set(journal) == TOOLKIT
    assert server.asked == ["GET /ok", "POST /break", "GET /ok", "POST /mend"]
    assert seen.told == [
        *("before", ("ok", "succeeded"), "method", ("rompe · break", "succeeded")),
        *("after", ("ok", "succeeded"), "rollbacks", ("arregla · mend", "succeeded")),
    ]
    (step,) = journal["steady_states"]["before"]["probes"]
    assert step["tolerance_met"]
    assert step["output"]["status"] == 200
    assert step["output"]["body"] == {"ok": True}
    assert step["activity"] == small()["steady-state-hypothesis"]["probes"][0]
    assert journal["experiment"] == small()


async def test_a_steady_state_that_does_not_hold_before_ends_the_run_and_rolls_back():
    server = Server(ok=httpx.Response(404, json={}))
    journal = await play(small(), server)
    assert server.asked == ["GET /ok", "POST /mend"]
    assert not held(journal)
    assert (journal["status"], journal["deviated"]) == ("completed", False)
    assert journal["steady_states"]["after"] is None


async def test_a_steady_state_that_is_lost_has_deviated():
    journal = await play(small(), Server(ok=only_while_whole))
    assert not held(journal)
    assert (journal["status"], journal["deviated"]) == ("completed", True)
    assert journal["steady_states"]["after"]["steady_state_met"] is False
    assert [one["status"] for one in journal["rollbacks"]] == ["succeeded"]


async def test_the_first_probe_out_of_tolerance_is_the_last():
    raw = small(probes=[probe("no", "/no", 201), probe("ok", "/ok")])
    server = Server()
    await play(raw, server)
    assert server.asked == ["GET /no", "POST /mend"]


async def test_a_probe_without_an_answer_fails_the_run():
    journal = await play(small(), Server(ok=httpx.ConnectError("refused")))
    assert (journal["status"], held(journal)) == ("failed", False)
    (step,) = journal["steady_states"]["before"]["probes"]
    assert step["output"] is None
    assert step["exception"] == ["ConnectError: refused"]


async def test_a_step_of_the_method_without_an_answer_is_noted_and_the_run_goes_on():
    journal = await play(small(), Server(**{"break": httpx.ReadTimeout("slow")}))
    assert [one["status"] for one in journal["run"]] == ["failed"]
    assert held(journal)


async def test_json_that_is_none_is_no_answer():
    torn = httpx.Response(200, headers={"content-type": "application/json"}, text="{")
    journal = await play(small(), Server(ok=torn))
    assert (journal["status"], held(journal)) == ("failed", False)
    assert [one["status"] for one in journal["rollbacks"]] == ["succeeded"]


async def test_it_rolls_back_when_the_runner_itself_breaks():
    class Breaks(Seen):
        def done(self, activity, run):
            if activity.kind == "action" and "break" in activity.url:
                raise RuntimeError

    server = Server()
    with pytest.raises(RuntimeError):
        await play(small(), server, Breaks())
    assert server.asked[-1] == "POST /mend"


async def test_a_tolerance_in_the_method_is_noted_and_does_not_count():
    journal = await play(small(method=[probe("p", "/p", 503)]))
    assert journal["run"][0]["tolerance_met"] is False
    assert held(journal)


@pytest.mark.parametrize("part", ["method", "probes", "rollbacks"])
async def test_whoever_is_interrupted_rolls_back_and_says_so(part):
    async def hang(_server):
        await asyncio.sleep(3600)

    way = {"method": "/break", "probes": "/ok", "rollbacks": "/mend"}[part]
    server = Server(**{way.strip("/"): hang})
    task = asyncio.create_task(play(small(), server))
    await asyncio.sleep(1)
    task.cancel()
    journal = await task
    assert (journal["status"], held(journal)) == ("interrupted", False)
    assert server.asked[-1] == "POST /mend"


async def test_pauses_are_made_before_and_after():
    slow = action("a", "/a", pauses={"before": 2, "after": 3})
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    journal = await play(small(method=[slow]))
    assert loop.time() - began_s == pytest.approx(5)
    assert journal["duration"] == pytest.approx(5)
    assert journal["run"][0]["duration"] == pytest.approx(0)


async def test_arguments_go_where_the_toolkit_puts_them():
    json_type = {"Content-Type": "application/json"}
    raw = small(
        method=[
            probe("q", "/q", arguments={"a": 1}),
            action("j", "/j", arguments={"a": 1}, headers=json_type),
            action("f", "/f", arguments={"a": 1}),
            action("n", "/n"),
        ]
    )
    server = Server()
    await play(raw, server)
    query, body, form, nothing = server.requests[1:5]
    assert query.url.query == b"a=1"
    assert body.content == b'{"a":1}'
    assert parse_qs(form.content.decode()) == {"a": ["1"]}
    assert nothing.content == b""


PROBLEM = httpx.Response(
    503,
    headers={"content-type": "application/problem+json"},
    text='{"code": "inventory_unavailable"}',
)
REGEX = {"type": "regex", "target": "body", "pattern": "inventory_un"}


@pytest.mark.parametrize(
    ("tolerance", "met"),
    [
        (503, True),
        ([200, 503], True),
        ([200, 202], False),
        ({"type": "jsonpath", "path": "$.code", "expect": ["inventory_unavailable"]}, True),
        ({"type": "jsonpath", "path": "$.code", "expect": "inventory_unavailable"}, True),
        ({"type": "jsonpath", "path": "$.code", "count": 2}, False),
        ({"type": "jsonpath", "path": "$.detail"}, False),
        (REGEX, True),
    ],
)
async def test_what_is_tolerated_of_a_problem_document(tolerance, met):
    if isinstance(tolerance, dict):
        tolerance = {"target": "body", **tolerance}
    journal = await play(small(probes=[probe("p", "/p", tolerance)]), Server(p=PROBLEM))
    (step, *_) = journal["steady_states"]["before"]["probes"]
    assert step["tolerance_met"] is met
    assert isinstance(step["output"]["body"], str), "only application/json is decoded, as there"


async def test_a_regex_finds_nothing_in_json():
    journal = await play(small(probes=[probe("p", "/p", REGEX)]))
    assert not held(journal)
