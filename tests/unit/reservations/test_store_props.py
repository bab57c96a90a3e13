"""The saga store and the outbox beside a model, driven by two processes at once. Properties, after every step:

- a key is one row, whatever deliveries it comes with; a delivery starts something at most once, or never if forgone;
- a move succeeds exactly for who has seen the last one: a stale driver is fenced, its own lost answer is recognised;
- versions 1..n have no gap, and every line of the log leads from where the last one ended;
- the outbox holds exactly what the moves owed: a refund supersedes a capture that has not left, what was marked stays
  marked, and no notice leaves before an earlier one of its reservation;
- commits that fail before or after they took effect, and a restart, change none of this.
"""

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chassis.runtime import simulated
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from reservations.domain import ARROWS, OPEN, State
from reservations.errors import KeyReused
from reservations.schemas import ReserveRequest
from reservations.store import SCHEMA, Arrow, Mark, OutboxStore, SagaStore
from reservations.store.sagas import Fenced, Forgone
from tests.support.machines import Flaps, Life, budget, in_memory

LEASE_S = 30.0
OWNERS = ("one", "other")

keys = st.integers(1, 5)
owners = st.sampled_from(OWNERS)
picks = st.integers(0, 99)
flaps = st.lists(st.sampled_from(["before", "after"]), max_size=3)
S = State
WAYS = (
    (S.HELD, S.AUTHORIZED, S.CONFIRMED, S.REFUNDING, S.REFUNDED),
    (S.HELD, S.AUTHORIZED, S.CONFIRMED, S.REFUNDING, S.REFUNDED),
    (S.CANCELLING, S.UNAVAILABLE),
)
NEXT = {
    state: sorted(to for start, to in ARROWS if start == state and to != State.RECEIVED)
    for state in State
}


@dataclass
class Row:
    """A reservation as the model knows it. `made` is who made the last move, from which version and where to."""

    fingerprint: str
    delivery: str
    run: str
    state: State = State.RECEIVED
    version: int = 1
    attempt: int = 1
    owner: str = ""
    tries: int = 0
    path: list[State] = field(default_factory=lambda: [State.RECEIVED])


class Sagas(RuleBasedStateMachine):
    """Two processes on one database, and the model."""

    def __init__(self):
        super().__init__()
        self.folder = in_memory()
        self.path = Path(self.folder.name) / "reservations.db"
        self.flaps = Flaps()
        self.rows, self.deliveries, self.outbox = {}, set(), {}
        self.seen, self.runs = [], 0  # `seen`: rows as some driver read them, stale ones too
        self.life = Life(self._open)
        self.life.start()

    @asynccontextmanager
    async def _open(self):
        runtime, metrics = simulated(7, {}), Metrics()
        async with Writer.open(self.path, SCHEMA, runtime, metrics, plan=self.flaps) as writer:
            sagas = {
                owner: SagaStore(writer, runtime, metrics, owner=owner, lease_s=LEASE_S)
                for owner in OWNERS
            }
            yield SimpleNamespace(sagas=sagas, outbox=OutboxStore(writer, runtime, metrics))

    def teardown(self):
        self.life.close()
        self.folder.cleanup()

    def through(self, call, flaps):
        return self.flaps.through(self.life, call, flaps)

    def picked(self, pick):
        """A row as somebody read it, more often than not the last one."""
        return self.seen[-1 - pick % len(self.seen)] if pick % 3 else self.seen[-1]

    # ----- the orchestrators

    @rule(
        key=keys, body=st.sampled_from("aaab"), delivery=st.integers(1, 3), who=owners, flaps=flaps
    )
    def accept(self, key, body, delivery, who, flaps):
        self.runs += 1
        run, name, delivery_id = f"run-{self.runs}", f"r{key}", f"d{key}-{delivery}"
        request = ReserveRequest(
            reservation_id=name,
            delivery_id=delivery_id,
            scope="reserve:ana",
            key=f"a-key-of-sixteen-{key}",
            fingerprint=body * 64,
            user_id="ana",
            event_id="concert-01",
            quantity=1,
        )
        found = self.through(
            lambda: self.life.it.sagas[who].accept(request, run_id=run, manage_token="secret"),
            flaps,
        )
        if found is None:
            return
        is_new, known = delivery_id not in self.deliveries, self.rows.get(name)
        if known is None and not is_new:
            assert isinstance(found, Forgone), found
            return
        if known is not None and known.fingerprint != request.fingerprint:
            assert isinstance(found, KeyReused), found
            return
        self.deliveries.add(delivery_id)
        if known is None:
            known = self.rows[name] = Row(request.fingerprint, delivery_id, run, owner=who)
        elif known.state is State.UNAVAILABLE and is_new:
            known.delivery, known.run, known.attempt = delivery_id, run, known.attempt + 1
            self.moved(known, State.RECEIVED, who)
        row, drives = found
        assert (row.state, row.version, row.attempt) == (known.state, known.version, known.attempt)
        assert drives == (known.run == run)
        self.seen.append(row)

    @rule(
        path=st.sampled_from(WAYS),
        length=st.integers(1, 5),
        who=owners,
        capture=st.sampled_from(["PENDING", "SENT", "DEAD"]),
        again=st.integers(1, 2),
    )
    def a_saga_goes_its_way(self, path, length, who, capture, again):
        """Far along without a stumble, so that much is seen of what comes late in a life."""
        key = max((int(name[1:]) for name in self.rows), default=0) + 1
        self.accept(key, "a", 1, who, [])
        if f"r{key}" not in self.rows:
            return  # this delivery was forgone
        for target in path[:length]:
            row = self.seen[-1]
            arrow = self.arrow(row, target)
            found = self.life.run(self.life.it.sagas[who].advance(row, arrow))
            self.judge_move(row, target, who, found, arrow.outbox)
            if target is S.CONFIRMED:
                self.mark(list(self.outbox).index(row.ref), capture, [])
        self.accept(key, "a", again, who, [])

    @rule(key=keys, delivery=st.integers(1, 2), flaps=flaps)
    def forgo(self, key, delivery, flaps):
        forgone = [f"d{key}-{delivery}"]

        async def call():
            await self.life.it.sagas["one"].forgo(forgone)
            return True

        if self.through(call, flaps):
            self.deliveries.update(forgone)

    @rule(pick=picks, where=picks, who=owners, flaps=flaps)
    def advance(self, pick, where, who, flaps):
        if not self.seen:
            return
        row = self.picked(pick)
        targets = NEXT[row.state]
        if not targets:
            return
        target = targets[where % len(targets)]
        arrow = self.arrow(row, target)
        found = self.through(lambda: self.life.it.sagas[who].advance(row, arrow), flaps)
        self.judge_move(row, target, who, found, arrow.outbox)

    @rule(pick=picks, who=owners, flaps=flaps)
    def take(self, pick, who, flaps):
        if not self.seen:
            return
        row = self.picked(pick)
        if row.lease_owner == who:
            assert self.life.run(self.life.it.sagas[who].take(row)) is row
            return
        found = self.through(lambda: self.life.it.sagas[who].take(row), flaps)
        self.judge_move(row, row.state, who, found, ())

    @rule(pick=picks, who=owners, flaps=flaps)
    def postpone(self, pick, who, flaps):
        if not self.seen:
            return
        row = self.picked(pick)
        known = self.rows[row.reservation_id]

        async def call():
            failed = Arrow(row.state, "hold", {}, "no answer")
            await self.life.it.sagas[who].postpone(row, failed, delay_s=5.0)
            return True

        if self.through(call, flaps) and known.version == row.version:
            known.tries = row.tries + 1

    def arrow(self, row, target):
        """What the saga owes when it makes this move."""
        owes = {
            State.CONFIRMED: (("capture", row.ref), ("notify", f"{row.reservation_id}.confirmed")),
            State.REFUNDED: (("notify", f"{row.reservation_id}.cancelled"),),
        }.get(target, ())
        outbox = tuple((kind, key, {"id": key}, 0.0) for kind, key in owes)
        reason = "payments_unavailable" if target is State.CANCELLING else row.reason
        return Arrow(target, "hold", {"reason": reason}, outbox=outbox)

    def judge_move(self, row, target, who, found, outbox):
        if found is None:
            return
        known = self.rows[row.reservation_id]
        is_ours = (known.state, known.version, known.owner) == (target, row.version + 1, who)
        if known.version == row.version:
            assert not isinstance(found, Exception), found
            self.moved(known, target, who)
            if target is State.REFUNDING:
                for kind, key, entry in self.errands(row.reservation_id):
                    if kind == "capture" and entry[1] == "PENDING":
                        self.outbox[key][1] = "SUPERSEDED"
            for kind, key, *_ in outbox:
                self.outbox[key] = [kind, "PENDING", row.reservation_id]
        else:
            assert isinstance(found, Fenced) != is_ours, found
        if not isinstance(found, Exception):
            assert (found.state, found.version) == (known.state, known.version)
            self.seen.append(found)

    def moved(self, known, target, who):
        known.state, known.version, known.owner = target, known.version + 1, who
        known.path.append(target)
        known.tries = 0

    def errands(self, reservation_id):
        return [(e[0], key, e) for key, e in self.outbox.items() if e[2] == reservation_id]

    # ----- the outbox

    @rule(pick=picks, state=st.sampled_from(["SENT", "DEAD", "PENDING"]), flaps=flaps)
    def mark(self, pick, state, flaps):
        keys_ = [*self.outbox, "nobody"]
        key = keys_[pick % len(keys_)]
        found = self.through(lambda: self.life.it.outbox.mark([Mark(key, state)]), flaps)
        if found is None:
            return
        entry = self.outbox.get(key)
        if entry is not None and entry[1] == "PENDING":
            entry[1] = state
        assert found == ([key] if state == "DEAD" and entry and entry[1] == "DEAD" else [])

    @rule(pick=picks, said=st.sampled_from(["delivered", "accepted", "dead"]), flaps=flaps)
    def revive(self, pick, said, flaps):
        keys_ = [*self.outbox, "nobody"]
        key = keys_[pick % len(keys_)]

        async def call():
            await self.life.it.outbox.revive({key: said})
            return True

        entry = self.outbox.get(key)
        if self.through(call, flaps) and entry and entry[:2] == ["notify", "DEAD"]:
            entry[1] = {"delivered": "SENT", "accepted": "PENDING", "dead": "DEAD"}[said]

    @rule()
    def what_is_due(self):
        async def call():
            outbox = self.life.it.outbox
            return await outbox.due("capture", limit=99), await outbox.due("notify", limit=99)

        captures, notices = self.life.run(call())
        pending = [(key, e) for key, e in self.outbox.items() if e[1] == "PENDING"]
        assert {one.key for one in captures} == {key for key, e in pending if e[0] == "capture"}
        first = {}
        for key, entry in pending:
            if entry[0] == "notify":
                first.setdefault(entry[2], key)
        assert {one.key for one in notices} == set(first.values())

    @rule(who=owners, seconds=st.sampled_from([0.0, 6.0, 40.0]))
    def recovery_looks(self, who, seconds):
        async def call():
            await asyncio.sleep(seconds)
            return await self.life.it.sagas[who].look(single=True, limit=99)

        counts, due, _ = self.life.run(call())
        is_open = [one for one in self.rows.values() if one.state in OPEN]
        assert sum(counts.get(state, 0) for state in OPEN) == len(is_open)
        assert {row.reservation_id for row in due} <= set(self.rows)
        self.seen += due

    @rule()
    def restart(self):
        self.life.stop()
        self.life.start()

    # ----- what must be true

    @invariant()
    def the_rows_are_the_models(self):
        db = sqlite3.connect(self.path)
        try:
            rows = db.execute(
                "SELECT reservation_id, state, version, attempt, lease_owner, tries, delivery_id, run_id"
                " FROM reservation"
            ).fetchall()
            log = db.execute(
                "SELECT reservation_id, saga_log.version, from_state, to_state FROM saga_log JOIN reservation"
                " USING (saga) WHERE saga_log.version IS NOT NULL ORDER BY reservation_id, saga_log.version"
            ).fetchall()
            outbox = db.execute(
                "SELECT outbox.key, kind, outbox.state, reservation_id FROM outbox JOIN reservation USING (saga)"
            ).fetchall()
            deliveries = {row[0] for row in db.execute("SELECT delivery_id FROM delivery")}
        finally:
            db.close()
        assert sorted(rows) == sorted(
            (name, r.state, r.version, r.attempt, r.owner, r.tries, r.delivery, r.run)
            for name, r in self.rows.items()
        )
        assert log == [
            (name, at + 1, r.path[at - 1] if at else None, state)
            for name, r in sorted(self.rows.items())
            for at, state in enumerate(r.path)
        ]
        assert sorted(outbox) == sorted((key, *entry) for key, entry in self.outbox.items())
        assert deliveries == self.deliveries


TestSagas = Sagas.TestCase
TestSagas.settings = budget(examples=30, steps=40)
