"""Payments beside what its callers asked for, with a provider that answers late, twice or never. Properties:

- money is conserved: what the provider took and did not give back is the price where the payment is captured, else 0;
- at rest our books and the provider's agree, and nothing waits;
- what was cancelled ends void, refunded or declined: no live authorisation stays, however late an answer comes;
- nothing is authorized, captured or refunded twice, nor captured without having been asked for;
- what a caller is told is so: authorized, captured, and the amount that was asked for.
"""

import asyncio
import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chassis.errors import ServiceError
from chassis.runtime import simulated
from chassis.sqlite import Writer
from chassis.telemetry import Metrics
from payments import usecases
from payments.clients import PROVIDER_SCHEMA, NoAnswer, OutOfOrder, SimulatedProvider
from payments.loops import Settle
from payments.settings import Settings
from payments.store import SCHEMA, Store
from payments.usecases import Payments
from tests.support.machines import Flaps, Life, budget, in_memory

TIMEOUT_S = 5.0
LATE_S = 8.0
REST_ROUNDS = 60


def one_of_the_refs(*kinds):
    """Which payment: a new one, the last one, or any; and a number to pick it."""
    return st.tuples(st.sampled_from(kinds), st.integers(0, 99))


amounts = st.sampled_from([5000, 5000, 5000, 5001])
coming = st.lists(st.sampled_from(["well", "lost", "never", "late", "slow"]), max_size=2)
AGREES = {
    "AUTHORIZED": "authorized",
    "CAPTURED": "captured",
    "VOIDED": "voided",
    "REFUNDED": "refunded",
    "DECLINED": "declined",
}


class Unreliable:
    """The lab's provider behind a bad line. `manners` are how the next calls go; then all go well.

    `lost`: done, and the answer is lost. `never`: it does not get there. `late`: it gets there after its caller has
    given up. `slow`: in time, but after a while.
    """

    def __init__(self, provider):
        self.provider = provider
        self.manners = []
        self.under_way = set()

    def __getattr__(self, name):
        action = getattr(self.provider, name)

        async def call(*args):
            manner = self.manners.pop(0) if self.manners else "well"
            if manner == "never":
                raise NoAnswer("it did not get there")
            if manner == "late":
                task = asyncio.create_task(self._later(action, args))
                self.under_way.add(task)
                task.add_done_callback(self.under_way.discard)
                await asyncio.sleep(3600)
            if manner == "slow":
                await asyncio.sleep(TIMEOUT_S / 2)
            answer = await action(*args)
            if manner == "lost":
                raise NoAnswer("the answer was lost")
            return answer

        return call

    async def _later(self, action, args):
        await asyncio.sleep(LATE_S)
        try:
            await action(*args)
        except OutOfOrder:  # nobody is there to hear it
            return


class PaymentsMachine(RuleBasedStateMachine):
    """The use cases, the settle loop and both databases; and what was asked for."""

    def __init__(self):
        super().__init__()
        self.folder = in_memory()
        self.data = Path(self.folder.name)
        self.flaps, self.declining = Flaps(), False
        self.asked = {"pay": set(), "capture": set(), "cancel": set()}
        self.running, self.wrong, self.minted = set(), [], 0
        self.life = Life(self._open)
        self.life.start()

    @asynccontextmanager
    async def _open(self):
        runtime, metrics = simulated(7, {}), Metrics()
        settings = Settings(data_dir=self.data, provider_timeout_s=TIMEOUT_S)
        async with AsyncExitStack() as stack:

            async def opened(name, schema, plan):
                path = self.data / name
                return await stack.enter_async_context(
                    Writer.open(path, schema, runtime, metrics, plan=plan)
                )

            store = Store(await opened("payments.db", SCHEMA, self.flaps), runtime, metrics)
            books = await opened("provider.db", PROVIDER_SCHEMA, lambda: None)
            line = Unreliable(
                SimulatedProvider(books, runtime, declines=lambda: self.declining, latency_s=0)
            )
            payments = Payments(store, line, settings, runtime, metrics)
            settle = Settle(payments, metrics.gauge("payments_open", "Open."))
            yield SimpleNamespace(payments=payments, store=store, settle=settle, line=line)
            await self._idle(line)
            await settle.drain(60)

    def teardown(self):
        try:
            self.rest()
        finally:
            self.life.close()
            self.folder.cleanup()

    # ----- what callers ask, at the same time as everything that is under way

    def ask(self, call, told):
        async def asking():
            try:
                answer = await call
            except ServiceError:
                return
            told(answer)

        task = self.life.loop.create_task(asking())
        self.running.add(task)
        task.add_done_callback(self.heard)

    def heard(self, task):
        self.running.discard(task)
        if task.exception() is not None:
            self.wrong.append(task.exception())

    def resolved(self, which):
        kind, number = which
        if kind == "new" or not self.minted:
            self.minted += 1
        return f"r{number % self.minted + 1 if kind == 'any' else self.minted}.1"

    @rule(which=one_of_the_refs("new", "new", "last", "any"), amount=amounts, coming=coming)
    def pay(self, which, amount, coming):
        ref = self.resolved(which)
        self.life.it.line.manners += coming

        def told(row):
            assert row.amount_minor == amount or not row.currency  # a tombstone has neither
            assert row.state != "AUTH_PENDING"

        self.ask(usecases.pay(self.life.it.payments, ref, amount, "USD"), told)
        self.asked["pay"].add(ref)

    @rule(which=st.lists(one_of_the_refs("last", "any"), min_size=1, max_size=3), coming=coming)
    def capture(self, which, coming):
        group = [self.resolved(one) for one in which]
        self.life.it.line.manners += coming
        self.asked["capture"] |= set(group)

        def told(rows):
            for ref, row in rows.items():
                if row.state == "CAPTURED":
                    assert "capture" in self.kinds(ref)

        self.ask(usecases.capture(self.life.it.payments, group), told)

    @rule(coming=coming)
    def pay_and_capture(self, coming):
        """The way that most payments go, up to where it may get stuck."""
        self.life.it.line.manners.clear()
        self.pay(("new", 0), 5000, [])
        self.life.run(asyncio.sleep(0.1))
        self.capture([("last", 0)], coming)
        self.life.run(asyncio.sleep(0.1))

    @rule(which=one_of_the_refs("last", "last", "any", "any", "new"))
    def cancel(self, which):
        ref = self.resolved(which)

        def told(_row):
            self.asked["cancel"].add(ref)

        self.ask(usecases.cancel(self.life.it.payments, ref), told)

    # ----- what the world does

    @rule(seconds=st.sampled_from([0.01, 1.0, 6.0, 12.0]))
    def time_passes(self, seconds):
        self.life.run(asyncio.sleep(seconds))

    @rule()
    def settle(self):
        self.life.run(self._step())

    @rule(flaps=st.lists(st.sampled_from(["before", "after"]), max_size=4))
    def the_disk(self, flaps):
        self.flaps.coming[:] = flaps

    @rule(declining=st.booleans())
    def the_bank(self, declining):
        self.declining = declining

    @rule()
    def restart(self):
        self.flaps.coming.clear()
        self.life.run(self._idle(self.life.it.line))
        self.life.stop()
        self.life.start()

    async def _step(self):
        try:
            await self.life.it.settle.step()
        except ServiceError:
            return  # the disk; the loop comes again
        await asyncio.sleep(0.05)

    async def _idle(self, line):
        """Until nobody waits for anything: callers, and what is still on the way to the provider."""
        line.manners.clear()
        while self.running or line.under_way:
            await asyncio.wait({*self.running, *line.under_way})

    # ----- what must be true

    def entries(self):
        db = sqlite3.connect(self.data / "provider.db")
        try:
            return db.execute("SELECT ref, kind, amount_minor FROM entry ORDER BY seq").fetchall()
        finally:
            db.close()

    def kinds(self, ref):
        return [kind for whose, kind, _ in self.entries() if whose == ref]

    @invariant()
    def nobody_was_told_an_untruth(self):
        assert self.wrong == []

    @invariant()
    def nothing_happens_twice(self):
        found = self.entries()
        for ref in {ref for ref, _, _ in found}:
            kinds = [kind for whose, kind, _ in found if whose == ref]
            assert len(set(kinds)) == len(kinds), (ref, kinds)
            assert "capture" not in kinds or kinds.index("authorize") < kinds.index("capture")
            assert "capture" not in kinds or ref in self.asked["capture"]
            assert not {"void", "capture"} <= set(kinds)
            assert not {"tombstone", "authorize"} <= set(kinds)
            assert "refund" not in kinds or kinds.index("capture") < kinds.index("refund")

    def rest(self):
        """Everything goes well from now on: then nothing may stay open."""
        self.flaps.coming.clear()
        self.life.run(self._idle(self.life.it.line))
        for _ in range(REST_ROUNDS):
            self.life.run(self._step())
            if not self.life.run(self.life.it.store.open_counts()):
                break
            self.life.run(asyncio.sleep(12.0))
        else:
            raise AssertionError(self.life.run(self.life.it.store.open_counts()))
        self.nobody_was_told_an_untruth()
        self.at_rest_the_books_agree()

    def at_rest_the_books_agree(self):
        db = sqlite3.connect(self.data / "provider.db")
        theirs = dict(db.execute("SELECT ref, state FROM ledger").fetchall())
        db.close()
        found = self.entries()
        for ref in {*theirs, *self.asked["pay"], *self.asked["cancel"]}:
            row = self.life.run(self.life.it.store.get(ref))
            if row is None:  # nothing was ever stored of it
                assert ref not in theirs
                continue
            taken = sum(
                amount * {"capture": 1, "refund": -1}.get(kind, 0)
                for whose, kind, amount in found
                if whose == ref
            )
            assert AGREES[row.state] == theirs[ref], (ref, row.state, theirs[ref])
            assert taken == (row.amount_minor if row.state == "CAPTURED" else 0), (ref, taken)
            if ref in self.asked["cancel"]:
                assert row.state in ("VOIDED", "REFUNDED", "DECLINED"), (ref, row.state)


TestPayments = PaymentsMachine.TestCase
TestPayments.settings = budget(examples=30, steps=30)
