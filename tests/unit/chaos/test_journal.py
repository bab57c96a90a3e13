"""The journal: what is written is read again, and no silence is ever noted as a failure."""

import pytest

from chaos import journal
from chaos.journal import Entry, Journal, NotAJournal, entry_of, outcome_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def written(path, *entries):
    with Journal.open(path, clock=Clock(), began_at=1000.0, by="test") as opened:
        for entry in entries:
            opened.note(entry)
    return path


BOUGHT = Entry(
    "reserve", "ok", 0.0, 0.5, client="a", key="k" * 20, user_id="ana", event_id="e", quantity=2,
    wanted=("A-01", "A-02"), status=200, code="confirmed", reservation_id="r1", seats=("A-01", "A-02"),
    total_minor=0, replayed=True,
)  # fmt: skip
COUNTED = Entry("count", "ok", 1.0, 1.5, event_id="e", status=200, code="?", capacity=0, free=0)


def test_what_is_written_is_read_again(tmp_path):
    """Zeros and names with accents too: only what has its default is left out."""
    entries = (BOUGHT, COUNTED, Entry("read", "info", 2.0, 2.0, user_id="Peña|2"))
    found = journal.read(written(tmp_path / "deep" / "j.jsonl", *entries))
    assert found.began_at == 1000.0
    assert found.entries == entries


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path):
    path = written(tmp_path / "j.jsonl", BOUGHT, COUNTED)
    path.write_text(path.read_text()[:-5])
    assert journal.read(path).entries == (BOUGHT,)


@pytest.mark.parametrize(
    "content", ["", "hello\n", '{"journal": 2, "began_at": 0}\n', '{"op": "read"}\n', "[]\n"]
)
def test_what_is_no_journal_is_refused(tmp_path, content):
    path = tmp_path / "j.jsonl"
    path.write_text(content)
    with pytest.raises(NotAJournal):
        journal.read(path)


def test_a_line_in_the_middle_that_makes_no_sense_is_refused(tmp_path):
    path = written(tmp_path / "j.jsonl", BOUGHT)
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(NotAJournal):
        journal.read(path)


def test_time_is_counted_from_the_beginning(tmp_path):
    clock = Clock()
    with Journal.open(tmp_path / "j.jsonl", clock=clock, began_at=1000.0) as opened:
        clock.now += 2.5
        assert opened.now_s() == 2.5


def test_journals_of_a_mesh_are_found_oldest_first(tmp_path):
    paths = [written(journal.new_path(tmp_path, moment), BOUGHT) for moment in (20.5, 3.25, 20.25)]
    assert journal.found_in(tmp_path) == [paths[1], paths[2], paths[0]]
    assert journal.found_in(tmp_path / "nowhere") == []


@pytest.mark.parametrize(
    ("op", "status", "code", "outcome"),
    [
        ("reserve", 200, "confirmed", "ok"),
        ("reserve", 202, "pending", "info"),
        ("reserve", 0, "ReadTimeout", "info"),
        ("reserve", 0, "RemoteProtocolError", "info"),
        ("reserve", 0, "ConnectError", "fail"),
        ("reserve", 409, "sold_out", "fail"),
        ("reserve", 402, "payment_declined", "fail"),
        ("reserve", 504, "payment_timeout", "fail"),
        ("reserve", 409, "request_in_progress", "info"),
        ("reserve", 429, "gateway_saturated", "fail"),
        ("reserve", 503, "storage_unavailable", "fail"),
        ("reserve", 503, "?", "info"),
        ("reserve", 500, "internal_error", "info"),
        ("reserve", 502, "bad_upstream", "info"),
        ("cancel", 200, "refunded", "ok"),
        ("cancel", 202, "pending", "info"),
        ("cancel", 409, "invalid_state", "fail"),
        ("cancel", 503, "storage_unavailable", "info"),
        ("cancel", 0, "ReadError", "info"),
    ],
)
def test_outcomes(op, status, code, outcome):
    assert outcome_of(op, status, code) == outcome


def test_an_answer_becomes_an_entry():
    body = {
        "status": "confirmed",
        "reservation_id": "r1",
        "seats": ["A-01"],
        "total": {"amount_minor": 5000, "currency": "USD"},
        "manage_token": "secret",
    }
    asked = {"user_id": "ana", "event_id": "e", "quantity": 1, "key": "k"}
    entry = entry_of("reserve", asked, body, status=200, code="confirmed", at_s=(1.0, 2.0))
    assert entry == Entry(
        "reserve", "ok", 1.0, 2.0, key="k", user_id="ana", event_id="e", quantity=1, status=200,
        code="confirmed", reservation_id="r1", seats=("A-01",), total_minor=5000,
    )  # fmt: skip


def test_a_refusal_names_no_seats_of_the_buyer_s():
    problem = {"code": "seat_taken", "seats": ["A-01"], "reservation_id": "r1"}
    entry = entry_of("reserve", {}, problem, status=409, code="seat_taken", at_s=(0.0, 0.1))
    assert (entry.seats, entry.reservation_id, entry.outcome) == ((), "r1", "fail")


def test_of_a_cancellation_the_reservation_that_was_asked_for_is_noted():
    asked = {"reservation_id": "r1"}
    entry = entry_of("cancel", asked, {}, status=0, code="ReadError", at_s=(0.0, 0.1))
    assert (entry.reservation_id, entry.outcome) == ("r1", "info")
