"""The store beside a model of a few lines, under any sequence of calls. Properties, after every step:

- seats are conserved, and none has two owners: the map, the counters and the rows say what the model says;
- a hold is granted exactly when it may be, of the best seats there are, and a re-send gets what the first one got;
- what was released, expired or refused is never taken again (tombstones), and only the right token sells;
- commits that fail before or after they took effect, a restart, and calls in one batch change none of this.
"""

import asyncio
import sqlite3
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chassis.runtime import simulated
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from inventory.errors import (
    EventBusy,
    EventNotFound,
    HoldGone,
    HoldNotFound,
    HoldTokenStale,
    PriceChanged,
    SeatTaken,
    SoldOut,
)
from inventory.schemas import HoldRequest
from inventory.store import SCHEMA, Store
from tests.support.machines import Flaps, Life, budget, in_memory

EVENTS = {"concert-01": 5000, "concert-02": 8000}
ROW = 12
TTL_S, GRACE_S = 20.0, 5.0


def one_of_the_ids(*kinds):
    """Which id a call is about: a new one, the last new one, one of a living hold, or any; and a number to pick it."""
    return st.tuples(st.sampled_from(kinds), st.integers(0, 99))


events = st.sampled_from([*EVENTS, "nowhere"])
names = st.lists(st.sampled_from([f"A-{n:02d}" for n in range(1, 8)]), min_size=1, max_size=3)
orders = st.builds(
    dict,
    hold_id=one_of_the_ids("new", "new", "new", "last", "living", "any"),
    event_id=st.one_of(st.just("concert-01"), st.just("concert-01"), events),
    quantity=st.integers(1, 3),
    seats=st.one_of(st.none(), names),
    price=st.sampled_from([None, None, None, 5000, 8000]),
)
holds = st.tuples(st.just("hold"), orders)
others = one_of_the_ids("living", "living", "last", "any", "new")
confirms = st.tuples(st.just("confirm"), others, st.sampled_from([True, True, False]))
releases = st.tuples(st.just("release"), others)
calls = st.one_of(holds, holds, confirms, releases)
flaps = st.lists(st.sampled_from(["before", "after"]), max_size=3)


def rank(seat):
    row, _, number = seat.partition("-")
    return (ord(row) - ord("A")) * ROW + int(number) - 1


def best(free, quantity):
    """What `free` seats, best first, have to offer: neighbours if there are any."""
    for at in range(len(free) - quantity + 1):
        chosen = free[at : at + quantity]
        ranks = [rank(seat) for seat in chosen]
        if ranks == list(range(ranks[0], ranks[0] + quantity)) and len({s[0] for s in chosen}) == 1:
            return chosen
    return free[:quantity]


@dataclass
class Held:
    """A hold as the model knows it; `refusal` is the exception that it was refused with."""

    event_id: str
    state: str
    seats: list[str]
    token: str | None = None
    expires_at: float = 0.0
    refusal: type | None = None


class Inventory(RuleBasedStateMachine):
    """The real store, and the model."""

    def __init__(self):
        super().__init__()
        self.folder = in_memory()
        self.path = Path(self.folder.name) / "inventory.db"
        self.flaps = Flaps()
        self.life = Life(self._open)
        self.life.start()
        self.holds, self.now = {}, 1000.0
        self.minted = self.calls = 0
        self.seats = {event: {} for event in EVENTS}  # seat → hold that owns it

    @asynccontextmanager
    async def _open(self):
        runtime, metrics = simulated(7, {}), Metrics()
        async with Writer.open(self.path, SCHEMA, runtime, metrics, plan=self.flaps) as writer:
            store = Store(writer, runtime, metrics)
            await store.seed()
            yield store

    def teardown(self):
        self.life.close()
        self.folder.cleanup()

    @initialize(sizes=st.tuples(st.integers(3, 9), st.integers(0, 3)))
    def small_halls(self, sizes):
        for event, size in zip(EVENTS, sizes, strict=True):
            self.life.run(self.life.it.reset(event, size))
            self.seats[event] = {f"A-{n:02d}": None for n in range(1, size + 1)}

    # ----- rules

    @rule(call=calls, flaps=flaps)
    def one_call(self, call, flaps):
        make, judge = self.prepared(call)
        found = self.flaps.through(self.life, make, flaps)
        if found is not None:
            judge(found)

    @rule(several=st.lists(calls, min_size=2, max_size=5))
    def a_batch(self, several):
        prepared = [self.prepared(call) for call in several]

        async def together():
            return await asyncio.gather(*(make() for make, _ in prepared), return_exceptions=True)

        for (_, judge), found in zip(prepared, self.life.run(together()), strict=True):
            judge(found)

    @rule(seconds=st.sampled_from([1.0, 10.0, 30.0]), flaps=flaps)
    def time_passes(self, seconds, flaps):
        self.now += seconds
        before = self.now - GRACE_S
        due = [
            one for one in self.holds.values() if one.state == "HELD" and one.expires_at < before
        ]
        found = self.flaps.through(
            self.life, lambda: self.life.it.expire(before=before, now=self.now), flaps
        )
        if found is None:
            return
        assert found == (0 if "after" in flaps else len(due))
        for one in due:
            one.state = "EXPIRED"
            self.free(one)

    @rule(event=events, free=st.integers(0, 8), flaps=flaps)
    def reset(self, event, free, flaps):
        called = object()

        async def call():
            await self.life.it.reset(event, free)
            return called

        found = self.flaps.through(self.life, call, flaps)
        if found is None:
            return
        if event not in EVENTS:
            assert isinstance(found, EventNotFound)
            return
        if any(one.state == "HELD" and one.event_id == event for one in self.holds.values()):
            assert isinstance(found, EventBusy)
            return
        assert found is called
        hall = self.seats[event]
        have = [seat for seat in self.in_order(event) if hall[seat] is None]
        for seat in have[free:]:
            del hall[seat]
        place = 0
        for _ in range(free - len(have)):
            while (seat := f"{chr(ord('A') + place // ROW)}-{place % ROW + 1:02d}") in hall:
                place += 1
            hall[seat] = None

    @rule()
    def restart(self):
        self.life.stop()
        self.life.start()

    # ----- the model

    def in_order(self, event):
        return sorted(self.seats[event], key=rank)

    def free(self, one):
        hall = self.seats.get(one.event_id, {})
        for seat in one.seats:
            hall[seat] = None

    def prepared(self, call):
        """How to make a call, and what judges its outcome and moves the model on."""
        kind, *details = call
        return getattr(self, f"_{kind}")(*details)

    def resolved(self, which):
        kind, number = which
        known = {
            "living": [id_ for id_, one in self.holds.items() if one.state in ("HELD", "SOLD")],
            "any": list(self.holds),
            "last": [f"r{self.minted}.1"],
        }.get(kind)
        if known:
            return known[number % len(known)]
        self.minted += 1
        return f"r{self.minted}.1"

    def _hold(self, order):
        self.calls += 1
        token, expires_at = f"token-{self.calls}", self.now + TTL_S
        request = HoldRequest(**{**order, "hold_id": self.resolved(order["hold_id"])})

        def judge(found):
            known = self.holds.get(request.hold_id)
            if known is not None and known.state not in ("HELD", "SOLD"):
                assert isinstance(found, known.refusal or HoldGone), found
                return
            if known is not None:
                granted = (known.token, known.seats, known.expires_at, known.state)
                assert (found.token, found.seats, found.expires_at, found.state) == granted
                return
            refusal = self.refusal_of(request)
            if refusal is not None:
                assert isinstance(found, refusal), found
                self.holds[request.hold_id] = Held(request.event_id, "REFUSED", [], refusal=refusal)
                return
            hall = self.seats[request.event_id]
            free = [seat for seat in self.in_order(request.event_id) if hall[seat] is None]
            wanted = best(free, request.quantity)
            if request.seats is not None:
                wanted = sorted(set(request.seats), key=rank)
            assert found.seats == wanted
            assert (found.token, found.expires_at) == (token, expires_at)
            assert found.unit_price == EVENTS[request.event_id]
            hall.update(dict.fromkeys(wanted, request.hold_id))
            self.holds[request.hold_id] = Held(request.event_id, "HELD", wanted, token, expires_at)

        now = self.now
        return lambda: self.life.it.hold(
            request, token=token, now=now, expires_at=expires_at
        ), judge

    def refusal_of(self, request):
        if request.event_id not in EVENTS:
            return EventNotFound
        if request.price not in (None, EVENTS[request.event_id]):
            return PriceChanged
        hall = self.seats[request.event_id]
        if request.seats is None:
            free = [seat for seat, owner in hall.items() if owner is None]
            return SoldOut if len(free) < request.quantity else None
        return SeatTaken if any(hall.get(seat, "?") is not None for seat in request.seats) else None

    def _confirm(self, which, is_right):
        hold_id = self.resolved(which)
        known = self.holds.get(hold_id)
        token = known.token if is_right and known and known.token else "another"

        def judge(found):
            known = self.holds.get(hold_id)
            if known is None:
                assert isinstance(found, HoldNotFound), found
            elif known.state not in ("HELD", "SOLD"):
                assert isinstance(found, HoldGone), found
            elif token != known.token:
                assert isinstance(found, HoldTokenStale), found
            else:
                assert found == ("SOLD", known.seats)
                known.state = "SOLD"

        return lambda: self.life.it.confirm(hold_id, token, now=self.now), judge

    def _release(self, which):
        hold_id = self.resolved(which)

        def judge(found):
            known = self.holds.setdefault(hold_id, Held("", "RELEASED", []))
            if known.state in ("HELD", "SOLD"):
                known.state = "RELEASED"
                self.free(known)
            assert found == (known.state, known.seats)

        return lambda: self.life.it.release(hold_id, now=self.now), judge

    # ----- what must be true

    @invariant()
    def the_map_is_the_models(self):
        for event, hall in self.seats.items():
            states = {"HELD": "held", "SOLD": "sold"}
            wanted = [
                (seat, states[self.holds[hall[seat]].state] if hall[seat] else "free")
                for seat in self.in_order(event)
            ]
            found = self.life.run(self.life.it.seats(event))
            assert [(row[0], row[3]) for row in found] == wanted

    @invariant()
    def the_counters_are_the_maps(self):
        found = {one.event_id: one for one in self.life.run(self.life.it.events())}
        for event, hall in self.seats.items():
            owners = [self.holds[owner].state if owner else None for owner in hall.values()]
            counted = (owners.count(None), owners.count("HELD"), owners.count("SOLD"))
            assert (found[event].available, found[event].held, found[event].sold) == counted

    @invariant()
    def the_rows_are_the_models(self):
        db = sqlite3.connect(self.path)
        try:
            rows = dict(db.execute("SELECT hold_id, state FROM hold").fetchall())
            log = db.execute("SELECT hold_id, from_state, to_state FROM hold_log ORDER BY seq")
            ends = {}
            for hold_id, from_state, to_state in log:
                assert ends.get(hold_id) == from_state
                ends[hold_id] = to_state
        finally:
            db.close()
        assert rows == {hold_id: one.state for hold_id, one in self.holds.items()}
        assert ends == rows


TestInventory = Inventory.TestCase
TestInventory.settings = budget(examples=30, steps=30)
