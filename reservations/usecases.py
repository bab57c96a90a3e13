"""What reservations can be asked to do, and the driver that takes a saga to its end.

A driver runs in a task of the app's, not of the request's: a buyer who leaves cancels nothing. One driver per
reservation per process; across processes the lease and the version keep it that way.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from chassis.clients import InDoubt, NotSent, Refused
from chassis.errors import StorageUnavailable
from chassis.runtime import Runtime
from reservations import errors
from reservations.domain import END_OF, FORWARD, OPEN, Parcel, Reservation, State, when_unknown
from reservations.saga import STEPS, Collaborators, Stuck, cancelling, notice_of, taken
from reservations.schemas import ReserveRequest
from reservations.settings import Settings
from reservations.store import Arrow, Fenced, Forgone, Mark, OutboxStore, SagaStore
from resilience import deadline, full_jitter_s, without_deadline

log = structlog.get_logger()


@dataclass(slots=True)
class Progress:
    """What one driver knows; written by that driver only.

    Attributes:
        row: The reservation as last known to be stored.
        submitted: The state of the last commit submitted.
        lost: True when it is unknown whether that commit was stored: the driver has given up for good.
        fenced: True when somebody else drives now: what becomes of it is theirs to say.
        mail_sent: Whether the inline notice was delivered.
    """

    row: Reservation
    submitted: State
    lost: bool = False
    fenced: bool = False
    mail_sent: bool = False


class Drivers:
    """The running drivers of this process, by reservation. Entered by the app's lifespan."""

    def __init__(self) -> None:
        # Written by `claim`, `release` and `start` on the loop's thread; recovery reads it.
        self._claims: Counter[str] = Counter()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def claim(self, reservation_id: str) -> None:
        """Keep recovery away from a reservation that is about to be driven."""
        self._claims[reservation_id] += 1

    def release(self, reservation_id: str) -> None:
        """Undo one `claim`."""
        self._claims[reservation_id] -= 1
        if self._claims[reservation_id] <= 0:
            del self._claims[reservation_id]

    def start(self, reservation_id: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Drive in a task of its own."""
        task = asyncio.create_task(work, name=f"driver:{reservation_id}")
        self._tasks[reservation_id] = task
        task.add_done_callback(lambda done: self._forget(reservation_id, done))
        return task

    def task(self, reservation_id: str) -> asyncio.Task[None] | None:
        """The driver of a reservation, while it runs."""
        return self._tasks.get(reservation_id)

    def is_running(self, reservation_id: str) -> bool:
        """Whether this process drives it, or is about to."""
        return reservation_id in self._tasks or reservation_id in self._claims

    def __len__(self) -> int:
        return len(self._tasks)

    def _forget(self, reservation_id: str, done: asyncio.Task[None]) -> None:
        if self._tasks.get(reservation_id) is done:
            del self._tasks[reservation_id]
        if not done.cancelled() and (error := done.exception()) is not None:
            log.error("driver_crashed", reservation_id=reservation_id, error=repr(error))

    @asynccontextmanager
    async def running(self, *, grace_s: float) -> AsyncIterator["Drivers"]:
        """On leaving, let drivers end for `grace_s`; what is cut off then is recovered at the next start."""
        try:
            yield self
        finally:
            tasks = list(self._tasks.values())
            if tasks:
                await asyncio.wait(tasks, timeout=grace_s)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Reservations:
    """The service object that routes and loops use; one per app.

    Attributes:
        mailed: By key, notices that were delivered inline and that the outbox has not ticked off yet. Losing them in a
            crash loses nothing: the outbox sends again and the inbox knows the key.
        reach: Told at every point of `POINTS` that it is reached; the process may end there.
        forgone: Deliveries refused because nothing could be stored, not even that; recovery writes them down.
    """

    sagas: SagaStore
    outbox: OutboxStore
    others: Collaborators
    drivers: Drivers
    settings: Settings
    runtime: Runtime
    mailed: dict[str, Mark]
    reach: Callable[..., None]
    forgone: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reservation request came to.

    Attributes:
        row: The reservation as last known.
        open: True when the outcome is not known or not reached yet.
        mail_sent: Whether the notice is out; None when only the outbox knows.
        replayed: Whether the request is a repetition.
    """

    row: Reservation
    open: bool
    mail_sent: bool | None
    replayed: bool


async def reserve(svc: Reservations, request: ReserveRequest) -> Outcome:
    """Accept the request or join the one with the same key, and wait for the outcome until just before the deadline.

    Raises:
        KeyReused: The key belongs to another body.
        Refusal: It was decided against, or the same request is still being worked on.
    """
    left_s = deadline.remaining_s()
    total_s = svc.settings.reserve_deadline_s if left_s is None else left_s
    answer_by_s = svc.runtime.mono() + total_s - svc.settings.answer_margin_s
    svc.drivers.claim(request.reservation_id)
    try:
        svc.reach("accept", "before")
        row, fresh = await _accepted(svc, request)
        if fresh:
            svc.reach(row.state, "committed")
            progress = Progress(row, row.state)
            budget_s = answer_by_s - svc.runtime.mono()
            task = svc.drivers.start(row.reservation_id, drive(svc, progress, budget_s=budget_s))
    except (StorageUnavailable, Forgone):
        svc.forgone[request.delivery_id] = None
        raise errors.StorageUnavailable(reservation_id=request.reservation_id) from None
    finally:
        svc.drivers.release(request.reservation_id)
    if fresh:
        await _wait_for_driver(svc, task, progress, answer_by_s)
        return _outcome_of(progress)
    return await _join(svc, row, request.delivery_id, answer_by_s)


async def _accepted(svc: Reservations, request: ReserveRequest) -> tuple[Reservation, bool]:
    if request.delivery_id in svc.forgone:
        raise Forgone
    return await svc.sagas.accept(
        request, run_id=svc.runtime.new_id(), manage_token=svc.runtime.new_id()
    )


async def _wait_for_driver(
    svc: Reservations, task: asyncio.Task[None], progress: Progress, answer_by_s: float
) -> None:
    """Until the driver ends; past the pivot, no longer than the deadline allows."""
    while not task.done():
        left_s = answer_by_s - svc.runtime.mono()
        # Before the pivot the driver itself is cut by the deadline, and its commit must be known.
        await asyncio.wait({task}, timeout=max(left_s, 0.05))
        if left_s <= 0 and progress.submitted in (State.AUTHORIZED, State.CONFIRMED):
            return


def _outcome_of(progress: Progress) -> Outcome:
    row = progress.row
    decided = row.state not in (State.RECEIVED, State.HELD, State.AUTHORIZED)
    if progress.fenced and not decided:
        return Outcome(row, open=True, mail_sent=None, replayed=False)
    if progress.lost and not decided:
        if when_unknown(progress.submitted, row.state) == "storage_unavailable":
            raise errors.StorageUnavailable(reservation_id=row.reservation_id)
        return Outcome(row, open=True, mail_sent=None, replayed=False)
    return _decided(row, mail_sent=progress.mail_sent, replayed=False)


async def _join(
    svc: Reservations, row: Reservation, delivery_id: str, answer_by_s: float
) -> Outcome:
    """Wait with whoever drives it, and answer as they would.

    A new delivery of a key whose earlier attempt is still being undone has to wait for attempt n + 1.
    """
    while row.state in (State.RECEIVED, State.HELD, State.AUTHORIZED):
        left_s = answer_by_s - svc.runtime.mono()
        if left_s <= 0:
            break
        task = svc.drivers.task(row.reservation_id)
        if task is None:
            await svc.runtime.resilience.sleep(min(0.1, left_s))
        else:
            await asyncio.wait({task}, timeout=left_s)
        try:
            row = await svc.sagas.find(row.reservation_id)
        except StorageUnavailable:
            continue
    undoing = row.state is State.CANCELLING and END_OF[row.reason or ""] is State.UNAVAILABLE
    if undoing and row.delivery_id != delivery_id:
        raise errors.RequestInProgress(reservation_id=row.reservation_id, replayed=True)
    return _decided(row, mail_sent=None, replayed=True)


def _decided(row: Reservation, *, mail_sent: bool | None, replayed: bool) -> Outcome:
    """The outcome that the stored row stands for.

    Raises:
        Refusal: It ended, or is ending, without a sale; or it is too early to say.
    """
    if row.state in (State.RECEIVED, State.HELD):
        raise errors.RequestInProgress(reservation_id=row.reservation_id, replayed=replayed)
    if row.reason is not None:
        refusal = errors.BY_REASON[row.reason]
        raise refusal(reservation_id=row.reservation_id, replayed=replayed, **row.refusal)
    still_open = row.state in OPEN
    return Outcome(row, open=still_open, mail_sent=mail_sent, replayed=replayed)


async def drive(svc: Reservations, progress: Progress, *, budget_s: float | None) -> None:
    """Take the saga as far as it goes: to its end, or to where nothing can be learnt now.

    Args:
        svc: The service.
        progress: Where it stands; kept up to date.
        budget_s: Seconds until the buyer must have an answer; None when nobody waits.
    """
    inline = budget_s is not None
    try:
        with without_deadline():
            with deadline(1e6 if budget_s is None else budget_s):
                await _run_steps(svc, progress, inline=inline)
            if inline and progress.row.state is State.CONFIRMED:
                await _notify_inline(svc, progress)
    except StorageUnavailable:
        progress.lost = True
        log.warning("driver_gave_up", reservation_id=progress.row.reservation_id)
    except Fenced as fenced:
        progress.fenced = True
        log.warning("driver_fenced", detail=str(fenced))
    except Stuck as stuck:
        await _postpone(svc, progress.row, stuck)
    except Exception:
        progress.lost = True
        log.exception("driver_crashed", reservation_id=progress.row.reservation_id)


async def _run_steps(svc: Reservations, progress: Progress, *, inline: bool) -> None:
    while (step := STEPS.get(progress.row.state)) is not None:
        with svc.runtime.tracing.span(
            f"saga {step.name}", saga_attempt=progress.row.attempt
        ) as note:
            svc.reach(step.name, "before")
            arrow = await taken(step, svc.others, progress.row, svc.runtime, inline=inline)
            note("saga.state", arrow.target)
            svc.reach(step.name, "called")
            await _commit(svc, progress, arrow)


async def _commit(svc: Reservations, progress: Progress, arrow: Arrow) -> None:
    progress.submitted = arrow.target
    progress.row = await svc.sagas.advance(progress.row, arrow)
    svc.reach(arrow.target, "committed")
    for kind, _, _, delay_s in arrow.outbox:
        if delay_s == 0:
            svc.outbox.wake(kind)


async def _postpone(svc: Reservations, row: Reservation, stuck: Stuck) -> None:
    delay_s = full_jitter_s(row.tries + 1, 0.5, 10.0, svc.runtime.resilience.random)
    try:
        failed = Arrow(row.state, STEPS[row.state].name, {}, str(stuck), tries=stuck.tries)
        await svc.sagas.postpone(row, failed, delay_s=delay_s)
    except StorageUnavailable:
        log.warning(
            "postpone_failed", reservation_id=row.reservation_id
        )  # recovery comes a little sooner


async def _notify_inline(svc: Reservations, progress: Progress) -> None:
    """One short try, so that the answer can say whether the mail is out; the outbox row stands in any case."""
    payload = notice_of(progress.row, "confirmed")
    parcel = Parcel(str(payload["notification_id"]), payload, 0)
    svc.reach("notice", "before")
    try:
        with svc.runtime.tracing.span("saga notify"):
            statuses = await svc.others.notifications.send([parcel], inline=True)
    except (Refused, NotSent, InDoubt) as error:
        log.info("notice_later", reservation_id=progress.row.reservation_id, error=str(error))
        return
    svc.reach("notice", "called")
    progress.mail_sent = statuses.get(parcel.key) == "delivered"
    if progress.mail_sent:
        delivered_at = svc.runtime.now().timestamp()
        svc.mailed[parcel.key] = Mark(parcel.key, "SENT", "delivered", at=delivered_at)


async def write_off(svc: Reservations) -> None:
    """Write down which deliveries were refused while nothing could be: a late copy of one must not come to life."""
    forgone = list(svc.forgone)
    if forgone:
        await svc.sagas.forgo(forgone)
        for delivery_id in forgone:
            del svc.forgone[delivery_id]


async def recover(svc: Reservations, row: Reservation) -> None:
    """Take over a saga whose driver is gone: backward before the pivot, forward after it."""
    try:
        row = await svc.sagas.take(row)
        svc.reach("recover", "taken")
        progress = Progress(row, row.state)
        if row.state in (State.RECEIVED, State.HELD):
            back = cancelling(
                "recover", "storage_unavailable", "interrupted", pay=row.state is State.HELD
            )
            await _commit(svc, progress, back)
        log.info(
            "saga_recovered",
            reservation_id=row.reservation_id,
            state=row.state,
            direction="forward" if row.state in FORWARD else "backward",
        )
    except (Fenced, StorageUnavailable) as error:
        log.warning("recovery_deferred", reservation_id=row.reservation_id, error=repr(error))
        return
    await drive(svc, progress, budget_s=None)


async def cancel(svc: Reservations, reservation_id: str, manage_token: str) -> Reservation:
    """The buyer gives a confirmed reservation back: seats free, money returned. Repeating it is fine.

    Returns:
        The reservation, REFUNDED, or REFUNDING while it is not finished.

    Raises:
        ReservationNotFound, NotYours, ReservationInProgress, InvalidState: Nothing was changed.
        StorageUnavailable: Unknown whether the cancellation was stored.
    """
    row = await svc.sagas.find(reservation_id)
    if not owns(row, manage_token):
        raise errors.NotYours
    if row.state in (State.RECEIVED, State.HELD, State.AUTHORIZED):
        raise errors.ReservationInProgress
    if row.state not in (State.CONFIRMED, State.REFUNDING, State.REFUNDED):
        raise errors.InvalidState
    if row.state is State.CONFIRMED:
        svc.reach("cancel", "before")
        row = await _begin_refund(svc, row)
    task = svc.drivers.task(reservation_id)
    if task is not None:
        await asyncio.wait({task}, timeout=1.0)
    return await svc.sagas.find(reservation_id)


async def _begin_refund(svc: Reservations, row: Reservation) -> Reservation:
    svc.drivers.claim(row.reservation_id)
    try:
        row = await svc.sagas.advance(row, Arrow(State.REFUNDING, "cancel", {}))
        svc.reach(row.state, "committed")
        progress = Progress(row, row.state)
        svc.drivers.start(row.reservation_id, drive(svc, progress, budget_s=0.6))
    except Fenced:
        row = await svc.sagas.find(row.reservation_id)
    finally:
        svc.drivers.release(row.reservation_id)
    return row


def owns(row: Reservation, manage_token: str | None) -> bool:
    """Whether the token is this reservation's; compared in constant time."""
    return hmac.compare_digest((manage_token or "").encode(), row.manage_token.encode())
