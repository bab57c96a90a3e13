"""The parts of the kill matrix that need no mesh: the plan, the figures, the page, the small disk."""

import itertools
import json
import random
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from click.testing import CliRunner

from chaos.cli import build
from chaos.journal import Entry
from chaos.matrix import disk, page
from chaos.matrix.acts import SERVICES, acts_for, links_of
from chaos.matrix.history import History, colour_of
from chaos.matrix.plan import stages, turns
from chaos.matrix.rest import Figures, figures, still_open
from chaos.matrix.run import Order, Report, StageReport
from chaos.proxy import KINDS
from chaos.texts import Say
from tests.support.mesh import APPS

POINTS = ["reservations.hold.before", "reservations.DECLINED.committed", "payments.batch.after"]


def names(**options):
    return [
        act.name for act in acts_for(POINTS, **{"links": False, "small_disk": False, **options})
    ]


def test_everything_that_the_matrix_promises_is_in_its_table():
    found = names(links=True)
    assert len(set(found)) == len(found)
    assert {f"kill:{service}" for service in SERVICES} <= {*found}
    assert {f"crash:{point}" for point in POINTS} <= {*found}
    assert {f"freeze:{service}" for service in SERVICES} <= {*found}
    assert {f"link:{link}:{kind}" for link in links_of() for kind in KINDS} <= {*found}
    assert {"world:mail_down", "world:slow_provider", "world:storm"} <= {*found}
    assert {"store:reservations", "store:inventory", "store:payments"} <= {*found}
    assert "freeze:reservations_past_the_deadline" in found
    assert "disk:full" in names(small_disk=True)


def test_a_point_that_needs_short_holds_is_for_a_mesh_that_has_them():
    point = "reservations.CANCELLED.committed"
    assert acts_for([point], short_holds=True)[len(SERVICES)].name == f"crash:{point}"
    assert f"crash:{point}" not in [act.name for act in acts_for([point])]


def test_services_of_the_matrix_are_those_of_the_mesh():
    assert set(SERVICES) == set(APPS)


def test_every_act_has_its_turn_before_any_comes_again():
    acts = acts_for(POINTS, links=True)
    kills = [act for act in acts if act.family == "kill"]
    drawn = list(itertools.islice(turns(acts, "kill", random.Random(3)), 30))
    seen = Counter(act.name for turn in drawn for act in turn)
    assert set(seen) == {act.name for act in kills}
    assert max(seen.values()) - min(seen.values()) <= 2


def test_no_two_acts_of_a_turn_strike_one_lane_and_some_come_in_pairs():
    acts = acts_for(POINTS, links=True)
    drawn = list(itertools.islice(turns(acts, None, random.Random(1)), 300))
    assert all(len({act.lane for act in turn}) == len(turn) for turn in drawn)
    assert {1, 2} <= {len(turn) for turn in drawn}
    assert {act.family for turn in drawn for act in turn} == {act.family for act in acts}


def test_a_point_that_needs_company_gets_it():
    acts = acts_for(POINTS)
    only = "crash:reservations.DECLINED"
    turn = next(turns(acts, only, random.Random(1)))
    assert [act.name for act in turn] == [f"{only}.committed", "world:declines"]


def test_the_same_seed_plans_the_same():
    def first():
        acts = acts_for(POINTS, links=True)
        drawn = itertools.islice(turns(acts, None, random.Random(9)), 50)
        return [[act.name for act in turn] for turn in drawn]

    assert first() == first()


def test_only_picks_the_stage_where_the_act_can_take_place():
    assert [stage.name for stage in stages(60, None)] == ["direct", "links", "disk"]
    assert sum(stage.seconds for stage in stages(60, None)) == pytest.approx(60)
    assert [stage.name for stage in stages(60, "link:gateway")] == ["links"]
    assert [stage.name for stage in stages(60, "kill")] == ["direct"]
    with pytest.raises(LookupError):
        next(turns(acts_for(POINTS), "nothing", random.Random(1)))


@pytest.mark.parametrize(
    ("status", "code", "colour"),
    [
        (200, "confirmed", "confirmed"),
        (202, "pending", "pending"),
        (409, "sold_out", "refused"),
        (504, "payment_timeout", "refused"),
        (504, "deadline_exceeded", "breach"),
        (500, "internal_error", "breach"),
        (429, "gateway_saturated", "busy"),
        (503, "inventory_unavailable", "unavailable"),
        (0, "ReadError", "no answer"),
    ],
)
def test_answers_have_a_colour(status, code, colour):
    assert colour_of(status, code) == colour


class Books:
    """Database files with the few columns that the cross-check reads."""

    def __init__(self, folder):
        self.folder = folder
        self.sql("reservations.db", "CREATE TABLE reservation (reservation_id, attempt, state, quantity,"
                 " unit_price, event_id, seats)")  # fmt: skip
        self.sql("reservations.db", "CREATE TABLE outbox (kind, state)")
        self.sql("inventory.db", "CREATE TABLE hold (hold_id, event_id, seats, state, quantity)")
        self.sql("inventory.db", "CREATE TABLE seat (seat, hold_id)")
        self.sql("payments.db", "CREATE TABLE payment (state)")
        self.sql("provider.db", "CREATE TABLE ledger (ref, state, amount_minor)")
        self.sql("notifications.db", "CREATE TABLE message (state)")

    def sql(self, database, sql, *values):
        with closing(sqlite3.connect(self.folder / database)) as db, db:
            db.execute(sql, values)

    def sale(self, reservation_id, seat):
        seats = json.dumps([seat])
        reservation = (reservation_id, 1, "CONFIRMED", 1, 50, "hall", seats)
        hold = (f"{reservation_id}.1", "hall", seats, "SOLD", 1)
        self.sql("reservations.db", "INSERT INTO reservation VALUES (?,?,?,?,?,?,?)", *reservation)
        self.sql("inventory.db", "INSERT INTO hold VALUES (?,?,?,?,?)", *hold)
        self.sql("inventory.db", "INSERT INTO seat VALUES (?,?)", seat, hold[0])
        self.sql("provider.db", "INSERT INTO ledger VALUES (?,?,?)", hold[0], "captured", 50)


def bought(reservation_id, outcome="ok", status=200, code="confirmed", key=None):
    return Entry(
        "reserve", outcome, 0.0, 1.0, key=key or reservation_id, reservation_id=reservation_id,
        status=status, code=code,
    )  # fmt: skip


def test_the_figures_of_books_in_order_are_zero(tmp_path):
    books = Books(tmp_path)
    books.sale("a", "A-1")
    books.sale("b", "A-2")
    journal = [
        bought("a"),
        bought("b", "info", 202, "pending"),
        bought("c", "fail", 409, "sold_out"),
    ]
    found = figures(tmp_path, journal)
    assert found == Figures(1, 1, 2, 0, 0, 0, 0, 0)
    assert found.ok
    assert still_open(tmp_path) == {}


def test_each_figure_notices_its_own_trouble(tmp_path):
    books = Books(tmp_path)
    books.sale("a", "A-1")
    books.sale("b", "A-2")
    books.sql("provider.db", "INSERT INTO ledger VALUES ('x.1', 'captured', 50)")
    books.sql("provider.db", "DELETE FROM ledger WHERE ref = 'b.1'")
    books.sql("inventory.db", "UPDATE hold SET seats = '[\"A-1\"]' WHERE hold_id = 'b.1'")
    journal = [bought("a", "fail", 504, "payment_timeout"), bought("gone")]
    assert figures(tmp_path, journal) == Figures(1, 0, 2, 1, 1, 1, 1, 1)


def test_a_journalled_cancel_is_no_loss_and_a_503_binds_its_own_delivery_only(tmp_path):
    books = Books(tmp_path)
    books.sale("a", "A-1")
    cancel = Entry("cancel", "info", 2.0, 3.0, key="gone", reservation_id="gone", status=202)
    journal = [
        bought("gone"),
        cancel,
        bought("a", "info", 202, "pending"),
        bought("a", "fail", 503, "storage_unavailable"),
    ]
    assert figures(tmp_path, journal).ok


def test_what_is_open_has_a_name(tmp_path):
    books = Books(tmp_path)
    books.sql("notifications.db", "INSERT INTO message VALUES ('INFLIGHT')")
    books.sql("inventory.db", "INSERT INTO hold VALUES ('h', 'hall', '[]', 'HELD', 1)")
    assert still_open(tmp_path) == {"message INFLIGHT": 1, "hold HELD": 1}


async def _report(tmp_path):
    stage = StageReport(stages(60, None)[0], History())
    stage.rest_after_s = 1.5
    history = stage.history
    history.add(bought("a"))
    history.add(bought("b", "info", 0, "<ReadError>"))
    history.bar("payments", "kill:payments", 0.0)
    history.kills["kill -9 payments"] += 1
    return Report(Order(60, 7, None, 24, tmp_path), [stage])


async def test_the_page_is_one_document_that_needs_nothing_else(tmp_path):
    report = await _report(tmp_path)
    for lang, word in (("es", "todo cuadra"), ("en", "the books balance")):
        text = page.as_html(report, Say(lang))
        assert word in text
        assert "<svg" in text
        assert "kill:payments" in text
        assert "://" not in text
    assert json.loads(json.dumps(page.as_json(report)))["kills"]["by_point"] == {
        "kill -9 payments": 1
    }


async def test_a_breach_a_red_audit_or_no_rest_fails_the_run(tmp_path):
    report = await _report(tmp_path)
    assert report.ok
    report.stages[0].audit_ok = False
    assert not report.ok
    report = await _report(tmp_path)
    report.stages[0].rest_after_s = None
    assert not report.ok
    report = await _report(tmp_path)
    report.stages[0].history.add(bought("x", "info", 504, "deadline_exceeded"))
    assert not report.ok
    assert report.total("breaches") == {"504 deadline_exceeded": 1}


async def test_a_small_disk_is_really_full_and_then_is_not(tmp_path):
    try:
        async with disk.small_disk(tmp_path / "disk") as folder:
            disk.fill(folder)
            with pytest.raises(OSError, match="space"):
                (folder / "one-more").write_bytes(b"x" * 4096)
            disk.free(folder)
            (folder / "one-more").unlink(missing_ok=True)
            (folder / "room").write_bytes(b"x" * 4096)
    except disk.NoSmallDisk as reason:
        pytest.skip(str(reason))
    assert list((tmp_path / "disk").iterdir()) == []


@pytest.mark.parametrize("budget", ["0s", "ten", "-3s", "1d"])
def test_a_budget_is_a_duration(budget):
    found = CliRunner().invoke(build(Say("en")), ["matrix", "--budget", budget])
    assert found.exit_code == 2
    assert "90s" in found.output
