"""The auditor on true books, and on books in which one line was changed: each invariant has its own eyes."""

import ast
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chaos import audit as package
from chaos import journal
from chaos.audit import INVARIANTS, BooksMissing, audit
from chaos.journal import Entry, Journal
from tests.controls.controls import CONTROLS


def verdict(books):
    data, now = books
    return audit(data, now=now, journals=journal.found_in(data))


def spoil(books, database: str, *statements: str) -> None:
    with closing(sqlite3.connect(books[0] / f"{database}.db", isolation_level=None)) as db:
        for statement in statements:
            assert db.execute(statement).rowcount != 0, f"changed nothing: {statement}"


def rewrite(books, wanted, **changes) -> None:
    """Change the entries of the journal of which `wanted` is true."""
    (path,) = journal.found_in(books[0])
    head, *lines = path.read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert any(wanted(entry) for entry in entries)
    changed = [{**entry, **changes} if wanted(entry) else entry for entry in entries]
    path.write_text("\n".join([head, *map(json.dumps, changed)]) + "\n")


def of(user):
    return lambda entry: entry.get("user_id") == user and entry["op"] == "reserve"


def test_true_books_are_green_and_add_up(books):
    report = verdict(books)
    assert report.red == [], report.as_json()
    assert report.ok
    assert all(result.judged for result in report.results)
    assert report.refusals_not_judged == 1, "nobody counted the seats around dora's refusal"
    assert report.facts == {
        "confirmed": 3,
        "refunded": 1,
        "refused_or_undone": 3,
        "seats_sold": 4,
        "captured_minor": 8000 + 10000 + 5000,
        "refunded_minor": 0,
        "delivered": 5,
        "requests": 8,
        "acknowledged": 4,
        "unknown": 0,
        "unknown_became_sales": 0,
    }


SALE = "(SELECT saga FROM reservation WHERE user_id = 'ana')"
BACK = "(SELECT saga FROM reservation WHERE user_id = 'eva')"
LOG = "(saga, version, attempt, at, from_state, to_state, step)"

SPOILT = [
    ("I1", "inventory", ["UPDATE seat SET hold_id = NULL WHERE seat = 'B-01'"]),
    ("I1", "inventory", ["UPDATE hold SET quantity = 3 WHERE quantity = 2"]),
    (
        "I2",
        "inventory",
        [
            ("INSERT INTO hold SELECT 'x.1', event_id, quantity, 'SOLD', token, seats, unit_price, NULL, created_at,"
            " expires_at, changed_at FROM hold WHERE state = 'SOLD' LIMIT 1"),
            "INSERT INTO hold_log (hold_id, to_state, at) VALUES ('x.1', 'HELD', 0)",
            "INSERT INTO hold_log (hold_id, from_state, to_state, at) VALUES ('x.1', 'HELD', 'SOLD', 0)",
        ],
    ),
    ("I2", "inventory", ["UPDATE hold SET event_id = 'concert-01' WHERE event_id = 'concert-02' AND state = 'SOLD'"]),
    (
        "I3",
        "inventory",
        [
            "UPDATE hold SET state = 'HELD', expires_at = 5 WHERE state = 'SOLD'",
        ],
    ),
    ("I4", "inventory", ["UPDATE hold SET state = 'HELD' WHERE state = 'SOLD'"]),
    ("I4", "reservations", ["UPDATE reservation SET seats = '[\"A-09\"]' WHERE user_id = 'ana'"]),
    ("I5", "inventory", ["UPDATE hold SET state = 'RELEASED' WHERE state = 'SOLD'"]),
    ("I6", "reservations", ["UPDATE reservation SET state = 'CANCELLING' WHERE user_id = 'ana'"]),
    ("I6", "inventory", ["UPDATE hold SET state = 'HELD' WHERE state = 'SOLD'"]),
    ("I7", "reservations", ["DELETE FROM reservation WHERE user_id = 'ana'"]),
    ("I7", "reservations", ["UPDATE reservation SET unit_price = 1 WHERE user_id = 'ana'"]),
    ("I7", "reservations", ["UPDATE reservation SET state = 'REFUNDED' WHERE user_id = 'ana'"]),
    ("I8", "reservations", ["UPDATE reservation SET reason = NULL WHERE user_id = 'flor'"]),
    ("I8", "reservations", [(f"INSERT INTO saga_log {LOG} SELECT saga, 9, 1, 0, 'HELD', 'CONFIRMED', 'sell'"
        " FROM reservation WHERE user_id = 'berta'")]),
    ("I8", "inventory", ["UPDATE hold SET state = 'EXPIRED' WHERE state = 'REFUSED'"]),
    ("I10", "provider", ["DROP TRIGGER entry_stays", "DELETE FROM entry WHERE kind = 'refund' OR kind = 'capture'"]),
    ("I10", "reservations", ["UPDATE reservation SET unit_price = 1 WHERE user_id = 'ana'"]),
    ("I11", "provider", ["INSERT INTO entry SELECT NULL, ref, kind, 7, 0 FROM entry WHERE kind = 'capture'"]),
    ("I11", "provider", ["DROP TRIGGER entry_is_final", "UPDATE entry SET amount_minor = 7 WHERE kind = 'capture'"]),
    ("I12", "provider", ["UPDATE ledger SET state = 'authorized' WHERE state = 'captured'"]),
    ("I12", "provider", ["INSERT INTO ledger VALUES ('stray.1', 'captured', 5, 'USD', 0)"]),
    ("I12", "payments", ["UPDATE payment SET amount_minor = 5 WHERE state = 'CAPTURED'"]),
    ("I12", "provider", ["INSERT INTO entry (ref, kind, amount_minor, at) VALUES ('stray.1', 'authorize', 5, 0)"]),
    ("I13", "payments", ["UPDATE payment SET state = 'CAPTURE_PENDING' WHERE state = 'CAPTURED'"]),
    ("I14", "reservations", [f"DELETE FROM outbox WHERE kind = 'notify' AND saga = {SALE}"]),
    ("I14", "reservations", [f"UPDATE outbox SET created_at = created_at + 1 WHERE saga = {SALE}"]),
    ("I15", "notifications", ["UPDATE message SET state = 'INFLIGHT' WHERE recipient = 'ana'"]),
    ("I15", "notifications", ["UPDATE message SET redelivered = 1 WHERE recipient = 'ana'"]),
    ("I14", "reservations", [f"DELETE FROM outbox WHERE key LIKE '%.cancelled' AND saga = {BACK}"]),
    ("I16", "reservations", ["UPDATE outbox SET payload = json_set(payload, '$.template', 'cancelled')"]),
    ("I16", "reservations", [f"DELETE FROM saga_log WHERE to_state = 'CONFIRMED' AND saga = {SALE}"]),
    ("I17", "reservations", ["UPDATE outbox SET state = 'PENDING' WHERE kind = 'capture'"]),
    ("I17", "notifications", ["UPDATE message SET state = 'DEAD' WHERE recipient = 'ana'"]),
    ("I18", "reservations", [f"DELETE FROM saga_log WHERE version = 2 AND saga = {SALE}"]),
    ("I18", "reservations", [(f"INSERT INTO saga_log {LOG} SELECT saga, 5, 1, 0, 'CONFIRMED', 'RECEIVED',"
        " 'accept' FROM reservation WHERE user_id = 'ana'")]),
    ("I18", "reservations", ["DELETE FROM reservation WHERE user_id = 'flor'"]),
    ("I18", "payments", ["UPDATE payment SET version = version + 1 WHERE state = 'CAPTURED'"]),
    ("I18", "inventory", ["UPDATE hold_log SET to_state = 'EXPIRED' WHERE to_state = 'SOLD'"]),
    ("I18", "notifications", ["DELETE FROM message_log WHERE event = 'claim'"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "database", "statements"),
    SPOILT,
    ids=[f"{number}: {statements[-1][:60]}" for number, _, statements in SPOILT],
)
def test_one_false_line_turns_its_invariant_red(books, number, database, statements):
    spoil(books, database, *statements)
    report = verdict(books)
    assert number in report.red, report.as_json()
    found = next(result for result in report.results if result.invariant.number == number)
    assert all(finding.what for finding in found.findings), "every finding names an id"


@pytest.mark.parametrize(
    ("number", "wanted", "changes"),
    [
        ("I7", of("ana"), {"seats": ["Z-01"]}),
        ("I7", of("ana"), {"total_minor": 1}),
        ("I8", of("ana"), {"status": 504, "code": "payment_timeout", "outcome": "fail"}),
        ("I8", of("ana"), {"status": 504, "code": "deadline_exceeded", "outcome": "fail"}),
        ("I8", of("berta"), {"code": "price_changed"}),
        ("I9", of("gala"), {"code": "sold_out", "status": 409, "key": "first".ljust(20, "-"), "user_id": "ana"}),
        ("I9", of("ana"), {"user_id": "carla", "key": "two".ljust(20, "-")}),
        ("I19", lambda entry: entry["op"] == "count", {"capacity": 9}),
        ("I21", of("flor"), {"status": 429, "code": "gateway_saturated", "reservation_id": ""}),
        ("I22", of("carla"), {"invoked_s": 900.0, "completed_s": 900.5, "reservation_id": "", "seats": ["A-01"]}),
        ("I23", of("ana"), {"completed_s": -1.0}),
        ("I23", of("ana"), {"status": 0, "code": "ReadTimeout", "outcome": "fail"}),
        ("I23", of("ana"), {"op": "read", "event_id": ""}),
        ("I23", lambda entry: True, {"client": "one", "invoked_s": 1.0, "completed_s": 2.0}),
    ],
    ids=str,
)  # fmt: skip
def test_one_false_answer_turns_its_invariant_red(books, number, wanted, changes):
    if number == "I22":  # both were told the same seat
        rewrite(books, of("eva"), seats=["B-01"])
        changes = {}
    rewrite(books, wanted, **changes)
    report = verdict(books)
    assert number in report.red, report.as_json()


def test_every_invariant_was_seen_red():
    seen = {number for number, _, _ in SPOILT} | {"I7", "I8", "I9", "I19", "I21", "I22", "I23"}
    assert seen == {one.number for one in INVARIANTS}


def test_a_sale_that_nobody_acknowledged_is_no_lie(books):
    """Silence and 202 promise nothing: the sale behind them is fine, and counted."""
    rewrite(
        books, of("ana"), outcome="info", status=0, code="ReadTimeout", seats=[], reservation_id=""
    )
    report = verdict(books)
    assert report.red == []
    assert (report.facts["unknown"], report.facts["unknown_became_sales"]) == (1, 1)


def test_without_a_journal_what_needs_one_is_not_judged(books):
    data, now = books
    report = audit(data, now=now)
    assert report.ok
    silent = {result.invariant.number for result in report.results if not result.judged}
    assert silent == {"I7", "I19", "I21", "I22", "I23"}


def test_dead_letters_are_named_and_break_nothing(books):
    """An address that does not exist is nobody's lie; a dead capture would be."""
    spoil(
        books,
        "notifications",
        "UPDATE message SET state = 'DEAD' WHERE recipient = 'ana'",
        "UPDATE message_log SET event = 'give_up', to_state = 'DEAD' WHERE event = 'deliver'"
        " AND notification_id IN (SELECT notification_id FROM message WHERE recipient = 'ana')",
        "DELETE FROM mailbox WHERE recipient = 'ana'",
    )
    spoil(
        books,
        "reservations",
        f"UPDATE outbox SET state = 'DEAD' WHERE kind = 'notify' AND saga = {SALE}",
    )
    report = verdict(books)
    assert report.red == [], report.as_json()
    assert len(report.named["dead_letters"]) == 1
    spoil(books, "reservations", "UPDATE outbox SET state = 'DEAD' WHERE kind = 'capture'")
    assert verdict(books).red == ["I17"]


def test_books_that_are_not_there_are_said_to_be_missing(books, tmp_path):
    data, now = books
    with pytest.raises(BooksMissing):
        audit(tmp_path / "nowhere", now=now)
    (data / "provider.db").write_bytes(b"")
    with pytest.raises(BooksMissing):
        audit(data, now=now)


def test_the_auditor_cannot_write(books):
    data, now = books
    with (
        package.Books(package.in_folder(data)) as opened,
        opened.as_of(now),
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        opened.rows("UPDATE seat SET hold_id = NULL")


def test_a_report_lists_few_findings_and_counts_all(books):
    spoil(books, "inventory", "UPDATE hold SET quantity = quantity + 1")
    numbers = {one["number"]: one for one in verdict(books).as_json()["invariants"]}
    assert numbers["I1"]["found"] >= len(numbers["I1"]["offending"]) > 0
    assert json.dumps(numbers)


def test_the_auditor_shares_no_code_with_anybody():
    """It judges them, so it may not borrow their words: only how a journal is written."""
    ours = {
        "gateway",
        "reservations",
        "inventory",
        "payments",
        "notifications",
        "resilience",
        "chassis",
        "chaos",
    }
    folder = Path(package.__file__).parent
    imported = {
        name
        for path in [*folder.glob("*.py"), folder.parent / "journal.py"]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [f"{node.module}.{one.name}" for one in node.names]
            if isinstance(node, ast.ImportFrom)
            else [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else []
        )
        if name.split(".")[0] in ours
    }
    assert all(
        name == "chaos.journal" or name.startswith(("chaos.journal.", "chaos.audit."))
        for name in imported
    ), imported
    assert Entry.__module__ == Journal.__module__ == "chaos.journal"


@pytest.mark.parametrize("one", INVARIANTS, ids=lambda one: one.number)
def test_every_invariant_is_said_in_both_languages(one):
    assert one.es
    assert one.en
    assert one.es != one.en


def test_the_page_has_a_row_for_every_invariant():
    page = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
    for one in INVARIANTS:
        when = f"{one.when} · journal" if one.by_journal else one.when
        assert f"| `{one.number}` | {one.name} | {when} | {one.en} |" in page


def test_the_page_has_a_row_for_every_control():
    page = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")
    for control in CONTROLS:
        row = next(line for line in page.splitlines() if line.startswith(f"| {control.rule} |"))
        assert control.red <= set(row.strip("| ").split(" | ")[-1].split(", ")), row
