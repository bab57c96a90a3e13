"""What payments can be asked to do: the stored state, the provider, and the order between the two.

Always: decide and commit, ask the provider, commit its answer. Nothing here has a deadline: a caller who left changes
nothing about what was begun.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, TypeVar

from chassis.errors import StorageUnavailable
from chassis.runtime import Runtime
from chassis.telemetry import Metrics
from chassis.traffic import Traffic
from payments.clients import NoAnswer, OutOfOrder, Provider, Verdict
from payments.domain import PENDING, PaymentEvent, PaymentState
from payments.errors import KeyReused, ProviderUnknown
from payments.settings import Settings
from payments.store import PaymentRow, Store
from resilience import AttemptTimeout, Policy, full_jitter_s, without_deadline

T = TypeVar("T")

PROVIDER_CALLS = 8
"""Provider calls at once, for captures in groups and for the settle loop; a buyer's /pay never waits for these."""

_BACKOFF_BASE_S = 0.2
_BACKOFF_CAP_S = 10.0

POINTS = tuple(
    f"provider.{state}.{moment}" for state in sorted(PENDING) for moment in ("before", "called")
)
"""Where `crash_at` can end the process: around each provider call, by what the payment waits for."""

UNKNOWN = (NoAnswer, AttemptTimeout)
"""What a provider call raises when its outcome is unknown."""

_EVENTS: Mapping[Verdict, PaymentEvent] = {
    "authorized": PaymentEvent.AUTHORIZED,
    "declined": PaymentEvent.DECLINED,
    # Only someone else can have voided it there: then it is void here too.
    "voided": PaymentEvent.CANCEL,
}


class Turns:
    """One provider call at a time per reference, in this process. As large as what is running or waiting."""

    def __init__(self) -> None:
        # Reference → its lock and how many hold or await it; entries leave with their last user.
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def is_busy(self, payment_ref: str) -> bool:
        """Whether a call for it is running."""
        return payment_ref in self._locks

    @asynccontextmanager
    async def take(self, payment_ref: str) -> AsyncIterator[None]:
        """Wait for the turn of `payment_ref` and keep it for the block."""
        lock, users = self._locks.get(payment_ref, (asyncio.Lock(), 0))
        self._locks[payment_ref] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(payment_ref)
            if users > 1:
                self._locks[payment_ref] = (lock, users - 1)

    @asynccontextmanager
    async def take_all(self, payment_refs: Sequence[str]) -> AsyncIterator[list[str]]:
        """Wait for every turn, in one order for all callers, so that none waits for another in a circle."""
        async with AsyncExitStack() as stack:
            for ref in sorted(payment_refs):
                await stack.enter_async_context(self.take(ref))
            yield list(payment_refs)

    @asynccontextmanager
    async def take_free(self, payment_refs: Sequence[str]) -> AsyncIterator[list[str]]:
        """Take the turns that nobody has, without waiting; yields their references."""
        free = [ref for ref in payment_refs if not self.is_busy(ref)]
        async with AsyncExitStack() as stack:
            for ref in free:
                await stack.enter_async_context(self.take(ref))
            yield free


class Payments:
    """The service object that routes and the loop use; one per app."""

    def __init__(
        self,
        store: Store,
        provider: Provider,
        settings: Settings,
        runtime: Runtime,
        metrics: Metrics,
    ) -> None:
        self.store = store
        self.provider = provider
        self.runtime = runtime
        self.turns = Turns()
        # Replaced by the settle loop, once, when it is built: starts its next round.
        self.wake: Callable[[], None] = lambda: None
        # Replaced by the composition root: told at every point of `POINTS`; the process may end there.
        self.reach: Callable[..., None] = lambda *_: None
        # Always taken after a turn, never before: so nobody who has a slot waits for one who wants it.
        self.slots = asyncio.Semaphore(PROVIDER_CALLS)
        self._traffic = Traffic(runtime.mono)
        policy = Policy(attempt_s=settings.provider_timeout_s)
        self._calls = policy.bind(
            "payments.provider",
            runtime.resilience,
            (metrics.on_policy_event, self._traffic.on_event),
        )

    def now(self) -> float:
        """Epoch seconds."""
        return self.runtime.now().timestamp()

    async def ask(self, state: PaymentState, call: Callable[[], Awaitable[T]]) -> T:
        """A provider call under its policy, for a payment in `state`.

        Raises:
            NoAnswer, AttemptTimeout: Unknown whether it took effect.
            OutOfOrder: The provider decided against it.
        """
        self.reach("provider", state, "before")
        began_s = self._traffic.began()
        try:
            with self.runtime.tracing.span("ask provider", payment_state=state):
                answer = await self._calls.call(call)
        except Exception as error:
            self._traffic.ended(began_s, well=isinstance(error, OutOfOrder))
            raise
        except BaseException:
            self._traffic.left()
            raise
        self._traffic.ended(began_s, well=True)
        self.reach("provider", state, "called")
        return answer

    def traffic(self) -> dict[str, Any]:
        """What goes to the provider, as `chassis.traffic` says it."""
        return self._traffic.picture({}, has_breaker=False)

    async def postpone(self, row: PaymentRow, error: Exception) -> None:
        """Ask the provider again later: full jitter, 0.2 s doubling to 10 s."""
        wait_s = full_jitter_s(
            row.attempts + 1, _BACKOFF_BASE_S, _BACKOFF_CAP_S, self.runtime.resilience.random
        )
        await self.store.postpone(row, next_at=self.now() + wait_s, error=repr(error))


async def pay(payments: Payments, payment_ref: str, amount_minor: int, currency: str) -> PaymentRow:
    """Authorize, or say what became of that reference; a re-send joins the call that is running.

    Raises:
        KeyReused: The reference has another amount or currency.
        ProviderUnknown: No answer; the row stays AUTH_PENDING and the loop goes on.
        StorageUnavailable: Unknown what is stored; the loop settles it.
    """
    with without_deadline():
        async with payments.turns.take(payment_ref):
            row = await payments.store.begin(
                payment_ref, amount_minor, currency, now=payments.now()
            )
            is_tombstone = not row.currency
            if not is_tombstone and (row.amount_minor, row.currency) != (amount_minor, currency):
                raise KeyReused
            if row.state is PaymentState.AUTH_PENDING:
                row = await _authorize(payments, row)
    if row.state in PENDING:
        payments.wake()  # cancelled meanwhile: the void may go to the provider now
    return row


async def _authorize(payments: Payments, row: PaymentRow) -> PaymentRow:
    try:
        verdict = await payments.ask(
            row.state,
            lambda: payments.provider.authorize(row.payment_ref, row.amount_minor, row.currency),
        )
    except UNKNOWN as error:
        await payments.postpone(row, error)
        raise ProviderUnknown from error
    return await payments.store.apply(row.payment_ref, _EVENTS[verdict], now=payments.now())


async def capture(payments: Payments, payment_refs: Sequence[str]) -> Mapping[str, PaymentRow]:
    """Take authorized money: one commit for all decisions, the provider calls, one commit for all answers.

    What is unknown or busy stays CAPTURE_PENDING for the loop. References that do not exist are left out.

    Raises:
        StorageUnavailable: Unknown what is stored; what was decided is settled by the loop.
    """
    refs = list(dict.fromkeys(payment_refs))
    with without_deadline():
        # A single re-send joins the running call; a group never waits for one of its members.
        turns = payments.turns.take_all(refs) if len(refs) == 1 else payments.turns.take_free(refs)
        async with turns as mine:
            rows = await payments.store.apply_all(refs, PaymentEvent.CAPTURE, now=payments.now())
            todo = [
                rows[ref]
                for ref in mine
                if ref in rows and rows[ref].state is PaymentState.CAPTURE_PENDING
            ]
            # Every call ends before its turn does, whatever happens to the others.
            results = await asyncio.gather(
                *(_captured(payments, row) for row in todo), return_exceptions=True
            )
            done = [row.payment_ref for row, ok in zip(todo, results, strict=True) if ok is True]
            if done:
                settled = await payments.store.apply_all(
                    done, PaymentEvent.CAPTURED, now=payments.now()
                )
                rows = {**rows, **settled}
    if any(row.state in PENDING for row in rows.values()):
        payments.wake()
    bugs = [result for result in results if isinstance(result, BaseException)]
    if bugs:
        raise bugs[0]
    return rows


async def _captured(payments: Payments, row: PaymentRow) -> bool:
    """Whether the provider took the money; what it did not acknowledge is postponed."""
    async with payments.slots:
        try:
            await payments.ask(row.state, lambda: payments.provider.capture(row.payment_ref))
        except (*UNKNOWN, OutOfOrder) as error:
            with suppress(StorageUnavailable):  # then the row is due at once, which does no harm
                await payments.postpone(row, error)
            return False
    return True


async def cancel(payments: Payments, payment_ref: str) -> PaymentRow:
    """Make sure that in the end no money is taken; the loop tells the provider. Waits for no running call.

    Raises:
        StorageUnavailable: Unknown whether the decision is stored.
    """
    with without_deadline():
        row = await payments.store.cancel(payment_ref, now=payments.now())
    payments.wake()
    return row


async def settle(payments: Payments, payment_ref: str) -> PaymentRow | None:
    """Bring one *_PENDING payment one step further; the caller holds its turn.

    Raises:
        NoAnswer, AttemptTimeout: The provider's outcome is unknown.
        OutOfOrder: The provider contradicts our books.
        StorageUnavailable: Unknown what is stored.
    """
    row = await payments.store.get(payment_ref)
    if row is None or row.state not in PENDING:
        return row
    event = await payments.ask(row.state, lambda: _ask_provider(payments.provider, row))
    return await payments.store.apply(payment_ref, event, now=payments.now())


async def _ask_provider(provider: Provider, row: PaymentRow) -> PaymentEvent:
    """Do what `row` waits for; the event that it makes true."""
    ref = row.payment_ref
    match row.state:
        case PaymentState.VOID_PENDING:
            await provider.void(ref)
            return PaymentEvent.VOIDED
        case PaymentState.CAPTURE_PENDING:
            await provider.capture(ref)
            return PaymentEvent.CAPTURED
        case PaymentState.REFUND_PENDING:
            await provider.refund(ref)
            return PaymentEvent.REFUNDED
        case _:
            # "Not found" proves nothing while our call may be under way, so the same authorization is sent again.
            found = await provider.lookup(ref)
            verdict = (
                await provider.authorize(ref, row.amount_minor, row.currency)
                if found is None
                else found
            )
            return _EVENTS[verdict if verdict in ("declined", "voided") else "authorized"]
