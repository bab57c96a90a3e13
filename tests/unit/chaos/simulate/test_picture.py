"""The sequence diagram: well-formed, complete, the same each time, and true about who was dead."""

import re
from xml.etree import ElementTree as ET

import pytest

from chaos.simulate.picture import as_svg
from chaos.simulate.timeline import about
from chaos.simulate.trace import Event
from chaos.texts import Say

ONE = "r5798f87bcd762f3bf98d5b9381f0a293"
ES, EN = Say("es"), Say("en")


@pytest.fixture(scope="module")
def stories(run):
    """The run, and what of it concerns each of its reservations."""
    ids = sorted({one for event in run for one in re.findall(r"\br[0-9a-f]{32}\b", event.detail)})
    return [run, *(about(run, one) for one in ids)]


def drawn(events, say=EN, verdict=()):
    return ET.fromstring(as_svg(events, say, title="Seed 5 <1>", verdict=verdict))


def having(svg, **wanted):
    """Elements with these attributes; `look` is one of the classes."""
    look = wanted.pop("look", None)
    return [
        one
        for one in svg.iter()
        if (look is None or look in one.get("class", "").split())
        and all(one.get(name.replace("_", "-")) == str(value) for name, value in wanted.items())
    ]


def words(svg):
    return [one.text for one in svg.iter() if one.tag.endswith("}text")]


def number_of(one, name):
    return float(one.get(name))


def lives(svg, host):
    return [
        (number_of(one, "y1"), number_of(one, "y2"))
        for one in having(svg, look="life", data_host=host)
    ]


def exchange(*kinds, what=""):
    """One exchange from gateway to inventory, an event a second."""
    return [
        Event(float(at), kind, "gateway", what if kind in ("lost", "broken", "fault") else "200", "inventory", 7)
        for at, kind in enumerate(kinds)
    ]  # fmt: skip


def there_and_back(svg):
    (there,) = having(svg, look="request", data_number=7)
    (back,) = having(svg, look="answer", data_number=7)
    return there, back


def commit(at_s, host):
    return Event(at_s, "commit", host, "committed", host, 0, f"{ONE}.1 ∅ → HELD")


@pytest.mark.parametrize("say", [ES, EN])
def test_it_is_a_document_of_its_own(stories, say):
    for events in stories:
        text = as_svg(events, say, title="Seed 5", verdict=[])
        assert ET.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "<script" not in text
        assert re.findall(r"https?://[^\"]*", text) == ["http://www.w3.org/2000/svg"]
        assert "url(" not in text
        assert "prefers-color-scheme:dark" in text


def test_the_same_events_give_the_same_picture(run):
    first, second = (as_svg(list(run), ES, title="x", verdict=["y"]) for _ in range(2))
    assert first == second


def test_every_request_has_exactly_one_arrow(stories):
    for events in stories:
        svg = drawn(events)
        sent = sorted(event.number for event in events if event.kind == "send")
        requests = [one for one in having(svg, look="request") if "copy" not in one.get("class")]
        arrows = sorted(int(one.get("data-number")) for one in requests)
        assert sent
        assert [number for number in arrows if number] == sent


def test_every_commit_has_a_box(stories):
    for events in stories:
        commits = [event for event in events if event.kind == "commit"]
        boxes = [one for one in having(drawn(events), look="box") if "state" in one.get("class")]
        assert len(boxes) == len(commits) + 1, "and one in the legend"


def test_an_arrow_goes_down_from_caller_to_callee():
    svg = drawn(exchange("send", "arrive", "reply", "answer"))
    there, back = there_and_back(svg)
    assert number_of(there, "x1") < number_of(there, "x2")
    assert number_of(there, "y1") < number_of(there, "y2")
    assert number_of(back, "x1") == number_of(there, "x2")
    assert number_of(back, "x2") == number_of(there, "x1")
    assert number_of(back, "y1") < number_of(back, "y2")


@pytest.mark.parametrize(
    ("events", "look"),
    [
        (exchange("send", "lost", what="drop"), "request"),
        (exchange("send", "fault", what="reset"), "request"),
        (exchange("send"), "request"),
        (exchange("send", "arrive", "reply", "lost", what="answer lost: lost_reply"), "answer"),
    ],
)
def test_what_is_lost_ends_midway_in_a_cross(events, look):
    svg = drawn(events)
    (arrow,) = having(svg, look=look, data_number=7)
    ends = [number_of(one, "x1") for one in having(svg, look="life")]
    assert min(ends) < number_of(arrow, "x2") < max(ends)
    assert "bad" in arrow.get("class")
    assert len(having(svg, look="cross")) == 2, "its own, and that of the legend"


def test_a_broken_connection_is_red_from_where_the_callee_died():
    events = exchange("send", "arrive")
    events.append(Event(2.5, "die", "inventory", "by the nemesis"))
    events.append(Event(3.0, "broken", "gateway", "ReadError: callee died", "inventory", 7))
    svg = drawn(events)
    (arrow,) = having(svg, look="answer", data_number=7)
    assert "bad" in arrow.get("class")
    assert number_of(arrow, "y1") == lives(svg, "inventory")[0][1]


def test_who_is_refused_hears_it_from_the_callees_door():
    svg = drawn(exchange("send", "refused", "broken", what="ConnectError: refused"))
    there, back = there_and_back(svg)
    assert {"bad"} <= set(there.get("class").split()) & set(back.get("class").split())
    (door,) = having(svg, look="life", data_host="inventory")
    assert number_of(there, "x2") == number_of(back, "x1") == number_of(door, "x1")
    assert number_of(there, "y2") == number_of(back, "y1")


def test_a_connection_cut_while_the_callee_works_breaks_midway_and_late():
    events = exchange("send", "fault", "arrive", "broken", what="hang_up")
    svg = drawn(events)
    there, back = there_and_back(svg)
    assert "ink" in there.get("class")
    assert number_of(there, "x1") < number_of(back, "x1") < number_of(there, "x2")
    assert number_of(back, "y1") > number_of(there, "y2") - 1


def test_who_gives_up_waiting_gets_a_cross_and_the_answer_reaches_nobody():
    events = exchange("send", "arrive", "broken", "reply", what="ReadTimeout: no answer in time")
    svg = drawn(events)
    (answer,) = having(svg, look="answer", data_number=7)
    assert "soft" in answer.get("class")
    assert "no answer in time" in words(svg)


def test_a_duplicate_is_a_second_arrow_with_a_mark():
    events = exchange("send", "arrive", "reply", "answer")
    events.append(Event(4.0, "arrive", "gateway", "once more", "inventory", 7))
    events.append(Event(5.0, "reply", "gateway", "200 to the copy", "inventory", 7))
    svg = drawn(events, ES)
    first, copy = having(svg, look="request", data_number=7)
    heard, unheard = having(svg, look="answer", data_number=7)
    assert "copy" not in first.get("class")
    assert "copy" in copy.get("class")
    assert copy.get("x1") == first.get("x1")
    assert copy.get("x2") == first.get("x2")
    assert number_of(copy, "y1") > number_of(first, "y2")
    assert "ink" in heard.get("class")
    assert "soft" in unheard.get("class")
    assert {"otra vez (×2)", "200 a la copia"} <= set(words(svg))


@pytest.mark.parametrize("kind", ["lost", "refused"])
def test_a_duplicate_may_fail_to_arrive(kind):
    events = exchange("send", "arrive", "reply", "answer")
    events.append(Event(4.0, kind, "gateway", "partition", "inventory", 7))
    svg = drawn(events)
    first, copy = having(svg, look="request", data_number=7)
    assert "ink" in first.get("class")
    assert "bad" in copy.get("class")
    assert len(having(svg, look="answer", data_number=7)) == 1


def test_a_commit_shows_where_it_leads_on_the_lifeline_of_its_process():
    events = [*exchange("send", "arrive"), commit(2.0, "inventory")]
    svg = drawn(events)
    (text,) = [one for one in svg.iter() if one.text == "∅ → HELD"]
    lifeline = having(svg, look="life", data_host="inventory")[0]
    # At the right edge of the picture a box gives way.
    assert abs(number_of(text, "x") - number_of(lifeline, "x1")) < 60


def test_a_second_hold_of_the_same_reservation_is_told_apart():
    events = [
        Event(at, "commit", "inventory", "committed", "inventory", 0, f"{ONE}.{at} ∅ → HELD")
        for at in (1, 2)
    ]
    assert {"∅ → HELD", ".2 ∅ → HELD"} <= set(words(drawn(events)))


def test_several_reservations_are_named():
    other = "rfe1ed4df99639969e68a22604140d922"
    events = [
        Event(1, "commit", "reservations", "committed", "reservations", 0, f"{one} ∅ → RECEIVED")
        for one in (ONE, other)
    ]
    assert {"r5798 ∅ → RECEIVED", "rfe1e ∅ → RECEIVED"} <= set(words(drawn(events)))


def test_a_dead_process_has_no_lifeline_until_it_starts_again():
    died = Event(1.5, "die", "inventory", "before a commit")
    born = Event(2.5, "start", "inventory", "start 2")
    svg = drawn([*exchange("send", "arrive"), died, born, commit(3.0, "inventory")])
    (before, after) = lives(svg, "inventory")
    (dead,) = having(svg, look="dead", data_host="inventory")
    assert before[1] == number_of(dead, "y")
    assert after[0] == number_of(dead, "y") + number_of(dead, "height")
    assert before[1] < after[0]
    assert len(lives(svg, "gateway")) == 1
    assert words(svg).count("☠") == 2, "and one in the legend"


def test_who_dies_last_has_no_lifeline_below():
    svg = drawn([*exchange("send", "arrive"), Event(1.5, "die", "inventory", "before a commit")])
    (only,) = lives(svg, "inventory")
    assert only[1] < lives(svg, "gateway")[0][1]


def test_who_is_born_later_has_no_lifeline_before():
    events = [*exchange("send", "refused"), Event(2, "start", "inventory", "start 2")]
    svg = drawn(events)
    assert len(lives(svg, "inventory")) == 1
    assert lives(svg, "inventory")[0][0] > lives(svg, "gateway")[0][0]


def test_acts_and_disk_faults_are_notes():
    events = [
        *exchange("send", "arrive"),
        Event(2, "fault", "inventory", "bad disk: inventory for 1.6 s", number=1),
        Event(3, "disk", "inventory", "fails before the commit", "inventory", 0, f"{ONE}.1 ∅ → HELD"),
        Event(3, "fault", "payments", "pause: 1.0 s", number=2),
        Event(3, "fault", "inventory", "partition: inventory→provider for 1.0 s", number=3),
    ]  # fmt: skip
    svg = drawn(events)
    assert len(having(svg, look="annotation")) == 2, "only of hosts in the picture"
    assert "bad disk: inventory, 1.6 s" in words(svg)


def test_a_pause_of_more_than_a_second_is_seen():
    svg = drawn([*exchange("send"), Event(4.2, "arrive", "gateway", "", "inventory", 7)])
    assert "… 4.2 s" in words(svg)
    assert not having(drawn(exchange("send", "arrive")), look="gap")


def test_a_long_picture_names_its_hosts_again():
    events = [one for _ in range(40) for one in exchange("send", "arrive")]
    assert words(drawn(events[:4])).count("inventory") == 2, "above and below"
    assert words(drawn(events)).count("inventory") > 2


def test_the_verdict_stands_below_with_short_ids():
    verdict = [f"5 charged without seat: {ONE}.1 <&> " + "very long " * 40, "LIVENESS still open"]
    svg = drawn(exchange("send", "arrive"), ES, verdict)
    found = words(svg)
    assert "Lo que se rompió" in found
    assert any("r5798.1 <&>" in text for text in found)
    assert all(len(text) < 150 for text in found)
    assert having(drawn(exchange("send")), look="good")


def test_nothing_happened_is_a_picture_too():
    assert drawn([]).get("class") == "sequence"


def test_ids_are_short_everywhere_but_in_the_one_line_that_explains_them(stories):
    for events in stories:
        long = [text for text in words(drawn(events)) if re.search(r"[0-9a-f]{32}", text)]
        assert all(re.fullmatch(r"r[0-9a-f]{4,} = r[0-9a-f]{32}", text) for text in long)
        assert len(long) <= 1


def test_no_two_texts_overlap(stories):
    """Texts are placed in rows of their own: none begins where another ends."""
    for events in stories:
        svg = drawn(events)
        texts = [one for one in svg.iter() if one.tag.endswith("}text") and one.text != "☠"]
        spans = []
        for one in texts:
            wide = 6.0 * len(one.text)
            x = number_of(one, "x")
            left = {"start": x, "middle": x - wide / 2, "end": x - wide}[one.get("text-anchor")]
            spans.append((number_of(one, "y"), left, left + wide, one.text))
        spans.sort()
        for at, (y, left, right, text) in enumerate(spans):
            assert left >= -1, text
            assert right <= 1100, text
            for other_y, other_left, other_right, other in spans[at + 1 : at + 12]:
                apart = other_y - y >= 11 or other_left >= right or left >= other_right
                assert apart, (text, other)
