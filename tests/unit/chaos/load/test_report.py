"""What a run is judged by, for machines and for people, in both languages."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos.load.gauges import Sample, _phases
from chaos.load.page import as_html, command
from chaos.load.plan import Plan
from chaos.load.report import CPU_LIMIT, LAG_LIMIT_S, Report
from chaos.load.tally import NOT_SENT, Second
from chaos.load.words import advice
from chaos.texts import Say

ROOT = Path(__file__).resolve().parents[4]


def second(*answers, lag_s=0.001, cpu_s=0.1, until_s=1.0) -> Second:
    """`answers` are (status, code, latency_s)."""
    made = Second(due=len(answers), cpu_s=cpu_s, until_s=until_s)
    for status, code, latency_s in answers:
        made.add(status, code, latency_s, 1.0 if status in (429, 503) else None)
        if code != NOT_SENT:
            made.sent += 1
            made.lag.add(lag_s)
    return made


ANSWERS = [(200, "confirmed", 0.02)] * 8 + [(429, "gateway_saturated", 0.001)] * 2


def report(*seconds, **changes) -> Report:
    given = dict(enumerate(seconds or [second(*ANSWERS)]))
    same = {
        "plan": Plan("e", requests=10, rate_per_s=10),
        "seconds": given,
        "samples": [],
        "room": 4000,
        "healthy_after": True,
    }
    return Report(**{**same, **changes})


SAMPLES = [
    Sample(0.25, 5, 2, {"gateway→reservations.reserve": "closed"}),
    Sample(1.25, 5, 5, {"gateway→reservations.reserve": "open"}),
    Sample(2.25, None, None, {}),
]


@pytest.mark.parametrize(
    ("status", "code", "retry_after_s", "breach"),
    [
        (500, "internal_error", None, "unexpected 500 internal_error"),
        (418, "?", None, "unexpected 418 ?"),
        (429, "gateway_saturated", None, "429 gateway_saturated without Retry-After"),
        (503, "inventory_unavailable", None, "503 inventory_unavailable without Retry-After"),
        (0, "ReadTimeout", None, "no answer: ReadTimeout"),
        (429, "gateway_saturated", 1.0, None),
        (202, "pending", None, None),
        (409, "sold_out", None, None),
        (504, "payment_timeout", None, None),
        (0, NOT_SENT, None, None),
    ],
)
def test_only_what_is_outside_the_contract_is_a_breach(status, code, retry_after_s, breach):
    one = Second()
    one.add(status, code, 0.1, retry_after_s)
    assert list(one.breaches) == ([breach] if breach else [])
    assert report(one).ok == (breach is None)


def test_a_sick_gateway_fails_the_run():
    assert report().ok
    assert not report(healthy_after=False).ok


def test_seconds_of_several_processes_add_up_and_survive_the_trip():
    one, other = second(*ANSWERS), second((0, "ReadTimeout", 15.0), until_s=15.0)
    there = Second.from_wire(json.loads(json.dumps(one.as_wire())))
    assert there.as_wire() == one.as_wire()
    there.merge(other)
    assert there.due == 11
    assert there.outcomes[200, "confirmed"] == 8
    assert (there.silent, there.until_s, there.cpu_s) == (1, 15.0, 0.2)


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({}, []),
        ({"lag_s": LAG_LIMIT_S}, []),
        ({"lag_s": LAG_LIMIT_S * 1.1}, ["lag"]),
        ({"cpu_s": CPU_LIMIT * 0.99}, []),
        ({"cpu_s": CPU_LIMIT * 1.01}, ["cpu"]),
        ({"cpu_s": 1.0, "lag_s": 1.0}, ["cpu", "lag"]),
    ],
)
def test_the_client_is_blamed_when_it_is_late_or_has_no_time_left(changes, reasons):
    client = report(second(*ANSWERS, **changes)).client
    assert client.reasons == reasons
    assert client.as_json()["is_bottleneck"] == bool(reasons)
    for say in (Say("es"), Say("en")):
        assert len(list(advice(client, say))) == len(reasons)


def test_what_was_not_sent_is_told_with_what_to_do():
    client = report(second(*ANSWERS, (0, NOT_SENT, 0.0))).client
    assert client.reasons == ["room"]
    assert "1 reservations were not sent" in next(advice(client, Say("en")))


def test_more_processes_are_advised_only_where_there_is_a_core_for_them():
    busy = report(second(*ANSWERS, cpu_s=1.0)).client
    alone = type(busy)(**{**_fields(busy), "cores": 4})
    full = type(busy)(**{**_fields(busy), "cores": 1})
    assert "--processes 2" in next(advice(alone, Say("es")))
    assert "--processes" not in next(advice(full, Say("es")))


def _fields(client):
    return {name: getattr(client, name) for name in client.__slots__}


def test_the_ceiling_is_an_estimate_from_a_busy_client_only():
    idle, busy = report(second(*ANSWERS, cpu_s=0.01)), report(second(*ANSWERS, cpu_s=0.5))
    assert idle.client.ceiling_per_s is None
    assert busy.client.ceiling_per_s == pytest.approx(0.8 / (0.5 / 10))


def test_percentiles_of_all_count_the_silent_as_slower_than_anybody():
    found = report(second(*ANSWERS, *[(0, "ReadTimeout", 15.0)] * 2)).as_json()
    assert found["all"]["count"] == 12
    assert found["all"]["p50_s"] is not None
    assert found["all"]["p90_s"] is None
    assert found["all"]["max_s"] is None
    assert found["accepted"]["p90_s"] == pytest.approx(0.02, rel=0.002)


def test_the_seconds_between_what_happened_are_not_lost():
    found = report(second(*ANSWERS), second(*ANSWERS, until_s=1.5))
    assert found.elapsed_s == 1.5
    assert found.as_json()["goodput_per_s"] == pytest.approx(16 / 1.5, abs=0.001)


def test_every_field_of_the_document_has_a_row_in_the_manual():
    manual = (ROOT / "docs" / "load.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"`([\w.]+)`", "".join(re.findall(r"^\| `.*$", manual, re.MULTILINE))))
    document = report(samples=SAMPLES).as_json()
    wanted = {*document, *document["client_bottleneck"], *document["samples"][0], "audit"}
    wanted |= {"second", "cpu_s", "p50_s", "mean_s", "max_s"}
    assert wanted - rows == set()


def test_the_command_can_be_given_again():
    plan = Plan("e", requests=100, rate_per_s=50, arrivals="poisson", seed=7, processes=2)
    assert command(report(plan=plan)) == (
        "taquilla load --rate 50 --duration 2 --arrivals poisson --seed 7 --processes 2 --event e"
    )
    assert "--requests 9 --workers 3" in command(report(plan=Plan("e", requests=9, workers=3)))


class _Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("lang", ["es", "en"])
def test_the_page_needs_nothing_else(lang):
    page = as_html(report(*[second(*ANSWERS)] * 3, samples=SAMPLES), None, Say(lang))
    parsed = _Page(page)
    names = [tag for tag, _ in parsed.tags]
    assert names.count("svg") == 8
    assert not {"script", "link", "img", "iframe"} & set(names)
    assert not re.search(r"https?:|url\(|@import", page)
    assert dict(parsed.tags)["html"] == {"lang": lang}
    assert page.count("<rect") == 9, "three columns of two, two phases of a breaker, one bin"
    assert all(attrs.get("aria-label") for tag, attrs in parsed.tags if tag == "svg")


def test_the_page_says_what_went_wrong_and_escapes_what_it_was_told():
    bad = second(*ANSWERS, (500, "<b>", 0.1), (0, NOT_SENT, 0.0), lag_s=0.5)
    page = as_html(report(bad, healthy_after=False, interrupted=True), None, Say("en"))
    for text in ("CONTRACT BROKEN", "GATEWAY NOT HEALTHY", "interrupted", "were not sent", "late"):
        assert text in page
    assert "unexpected 500 &lt;b&gt;" in page
    assert "<b>" not in page


@pytest.mark.parametrize("seconds", [[Second()], [second((0, "ConnectError", 0.1))]])
def test_a_page_of_nothing_is_a_page(seconds):
    assert "</html>" in as_html(report(*seconds), None, Say("es"))
    json.dumps(report(*seconds).as_json())


def test_the_worst_phase_of_several_hosts_counts():
    edges = {
        "inventory.hold": {"h:1": {"breaker": {"phase": "closed"}}},
        "x.y": {
            "h": {
                "hosts": {
                    "a": {"breaker": {"phase": "open"}},
                    "b": {"breaker": {"phase": "closed"}},
                }
            }
        },
        "no.breaker": {"h": {"limit": 3}},
    }
    assert dict(_phases(edges)) == {"inventory.hold": "closed", "x.y": "open"}
