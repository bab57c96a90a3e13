"""The timeline: readable lines in two languages, ids that stay recognisable, and what concerns one reservation."""

import json
import re

import click
import pytest

from chaos.simulate.timeline import WIDTH, Names, about, lines, wording
from chaos.simulate.trace import Event
from chaos.texts import Say

ONE = "r5798f87bcd762f3bf98d5b9381f0a293"
TWIN = "r5798f00000000000000000000000000f"
OTHER = "rfe1ed4df99639969e68a22604140d922"
TOKEN = "154d5870f54cf865bd01c7379e294541"
ES, EN = Say("es"), Say("en")


@pytest.fixture(scope="module")
def bought(run):
    """Id, key and buyer of the reservation that the run tells most about."""
    bodies = [
        json.loads(event.detail)
        for event in run
        if event.kind == "send" and event.who == "gateway" and "reservation_id" in event.detail
    ]
    most = max(bodies, key=lambda body: len(about(run, body["reservation_id"])))
    return most["reservation_id"], most["key"], most["user_id"]


def told(*events, say=EN):
    return list(lines(events, say))


def send(at_s, number, who, whom, what, detail=""):
    return Event(at_s, "send", who, what, whom, number, detail)


def arrive(at_s, number, who, whom, what=""):
    return Event(at_s, "arrive", who, what, whom, number)


def reply(at_s, number, who, whom, status, detail=""):
    return Event(at_s, "reply", who, status, whom, number, detail)


def commit(at_s, who, detail):
    return Event(at_s, "commit", who, "committed", who, 0, detail)


def order(buyer, event_id="concert-01"):
    return f'{{"user_id": "{buyer}", "event_id": "{event_id}", "quantity": 1}}'


def accepted(reservation, buyer, key):
    return f'{{"reservation_id":"{reservation}","key":"{key}","user_id":"{buyer}"}}'


def test_every_event_has_one_line_that_fits(run):
    for say in (ES, EN):
        found = list(lines(run, say))
        assert len(found) == len(run)
        assert max(map(len, found)) <= WIDTH
        assert not any("\n" in line for line in found)


def test_no_long_id_is_left(run):
    assert not [line for line in lines(run, ES) if re.search(r"[0-9a-f]{32}", line)]


def test_columns_are_aligned(run):
    found = list(lines(run, EN))
    assert {line[9] for line in found} == {" "}
    messages = [line for line in found if "POST" in line]
    assert {line.index("POST") for line in messages} == {messages[0].index("POST")}


def test_the_same_id_is_always_the_same_short_form():
    names = Names([f"{ONE}.1 {TOKEN}", f"/reservations/{ONE}/cancel"])
    assert names(f"{ONE}.1") == "r5798.1"
    assert names(f"/reservations/{ONE}/cancel") == "/reservations/r5798/cancel"
    assert names(TOKEN) == "154d5"
    assert names("buyer-6-purchase-2") == "buyer-6#2"


def test_two_ids_never_get_the_same_short_form():
    names = Names([ONE, TWIN, OTHER])
    assert names(ONE) != names(TWIN)
    assert ONE.startswith(names(ONE))
    assert names(OTHER) == "rfe1e"


def test_a_commit_says_who_and_from_where_to_where():
    line = told(commit(1.6281, "reservations", f"{ONE} HELD → AUTHORIZED"))[0]
    assert line.startswith("    1.628 ●")
    assert line.endswith("reservations: r5798 HELD → AUTHORIZED")


def test_steps_of_one_commit_are_one_path_and_a_takeover_says_so():
    chain = f"{ONE} ACCEPTED → INFLIGHT, {ONE} INFLIGHT → DELIVERED"
    assert told(commit(1, "notifications", chain))[0].endswith(
        "r5798 ACCEPTED → INFLIGHT → DELIVERED"
    )
    assert told(commit(1, "reservations", f"{ONE} HELD → HELD"))[0].endswith(
        "r5798 HELD (taken over)"
    )


def test_of_a_body_only_what_tells_the_story_stays():
    body = (
        f'{{"hold_id":"{ONE}.1","token":"{TOKEN}","event_id":"concert-01","seats":["A-02","A-03"],'
        '"unit_price":5000,"currency":"USD","expires_at":"2026-01-01T00:00:21+00:00","state":"HELD"}'
    )
    line = told(reply(1, 9, "reservations", "inventory", "200", body))[0]
    assert line.endswith("200 · HELD · r5798.1 · concert-01 · A-02,A-03")
    assert "inventory ⇢ reservations" in line


@pytest.mark.parametrize("body", ['"authorized"', "null", "[1, 2, 3]", "not JSON {", "{}", "[]"])
def test_any_body_has_a_line(body):
    assert "200" in told(reply(1, 9, "payments", "provider", "200", body))[0]


def test_faults_deaths_and_births_are_marked():
    found = told(
        Event(1, "fault", "payments", "bad disk: payments for 1.6 s", number=1),
        Event(1, "die", "payments", "before a commit"),
        Event(2, "start", "payments", "start 2"),
        Event(2, "lost", "gateway", "drop", "reservations", 4),
    )
    assert [line[10] for line in found] == ["✗", "☠", "↑", "✗"]
    assert "#1" not in found[0], "the number of an act is not one of an exchange"


def test_two_languages(run):
    event = Event(1, "broken", "gateway", "ReadError: callee died", "reservations", 4)
    assert told(event, say=ES)[0].endswith("murió quien debía responder")
    assert told(event, say=EN)[0].endswith("the callee died")
    english = {
        event.what for event in run if event.kind in ("fault", "die", "broken", "disk", "lost")
    }
    assert not [what for what in english if wording(what, ES) == what]


def test_colours_only_on_demand(run):
    plain = list(lines(run, EN))
    coloured = list(lines(run, EN, colour=True))
    assert plain == [click.unstyle(line) for line in coloured]
    assert plain != coloured


def test_about_leaves_the_other_reservations_out(run, bought):
    found = about(run, bought[0])
    named = {event.detail.split(".")[0].split(" ")[0] for event in found if event.kind == "commit"}
    assert named == {bought[0]}
    assert not [event for event in found if event.what.startswith("GET ")]
    assert [event.at_s for event in found] == sorted(event.at_s for event in found)


def test_about_holds_all_commits_of_its_own(run, bought):
    everything = [event for event in run if event.kind == "commit" and bought[0] in event.detail]
    own = [event for event in about(run, bought[0]) if event.kind == "commit"]
    assert [event.at_s for event in own] == [event.at_s for event in everything]


def test_about_holds_whole_exchanges(run, bought):
    found = [event for event in about(run, bought[0]) if event.number and event.whom]
    numbers = {event.number for event in found}
    assert found == [event for event in run if event.number in numbers and event.whom]


def test_about_knows_a_reservation_by_many_names(run, bought):
    reservation, key, buyer = bought
    found = about(run, reservation)
    assert about(run, reservation[:8]) == found
    assert about(run, f"{reservation}.1") == found
    assert about(run, key) == found
    # Where several reservations of the buyer share a commit, it is told whole.
    assert {(one.at_s, one.kind) for one in found} <= {
        (one.at_s, one.kind) for one in about(run, buyer)
    }


def test_about_an_unknown_subject_is_nothing(run):
    assert about(run, "r00000000000000000000000000000000") == []


def test_a_buyers_request_that_reached_nobody_belongs_to_what_they_asked_for_next():
    lost = [
        send(1, 1, "buyers", "gateway", "POST /api/reserve", order("ana")),
        Event(1, "lost", "buyers", "drop", "gateway", 1),
    ]
    others = [send(2, 2, "buyers", "gateway", "POST /api/reserve", order("eva"))]
    again = [
        send(3, 3, "buyers", "gateway", "POST /api/reserve", order("ana")),
        arrive(3.1, 3, "buyers", "gateway"),
        send(3.1, 4, "gateway", "reservations", "POST /reserve", accepted(ONE, "ana", "k")),
    ]
    assert about([*lost, *others, *again], ONE) == [*lost, *again]


def test_surroundings_are_those_of_its_lifetime():
    before = Event(0, "fault", "payments", "full disk: payments for 0.5 s", number=1)
    still = Event(0, "fault", "payments", "bad disk: payments for 2.0 s", number=2)
    own = [
        commit(1, "reservations", f"{ONE} ∅ → RECEIVED"),
        commit(3, "reservations", f"{ONE} RECEIVED → HELD"),
    ]
    during = [
        Event(2, "die", "inventory", "by the nemesis"),
        Event(2.5, "start", "inventory", "start 2"),
    ]
    after = Event(4, "start", "gateway", "start 2")
    events = [before, still, own[0], *during, own[1], after]
    assert about(events, ONE) == [still, own[0], *during, own[1]]


def test_of_a_common_commit_only_its_own_part_stays():
    both = commit(1, "reservations", f"{OTHER} HELD → AUTHORIZED, {ONE} ∅ → RECEIVED")
    assert [event.detail for event in about([both], ONE)] == [f"{ONE} ∅ → RECEIVED"]


def test_a_full_disk_counts_for_whom_it_hits():
    hit = Event(2.5, "disk", "inventory", "is full", "inventory")
    events = [
        send(2, 1, "reservations", "inventory", "POST /reserve", f'{{"hold_id":"{ONE}.1"}}'),
        Event(2.1, "disk", "inventory", "is full", "inventory"),
        arrive(2.2, 1, "reservations", "inventory"),
        hit,
        reply(2.6, 1, "reservations", "inventory", "503"),
        Event(2.7, "disk", "inventory", "is full", "inventory"),
    ]
    assert [event for event in about(events, ONE) if event.kind == "disk"] == [hit]


def test_a_duplicate_belongs_to_its_original():
    link = ("payments", "provider")
    events = [
        send(1, 1, *link, "POST /void", f'["{ONE}.1"]'),
        arrive(1.1, 1, *link),
        reply(1.2, 1, *link, "200", "null"),
        send(1.3, 2, *link, "POST /void", f'["{OTHER}.1"]'),
        arrive(3, 1, *link, "once more"),
        reply(3.1, 1, *link, "200 to the copy", "null"),
    ]
    assert about(events, ONE) == [*events[:3], *events[4:]]
    assert told(events[4], say=ES)[0].endswith("otra vez (×2)")
    assert told(events[5], say=ES)[0].endswith("200 a la copia")
