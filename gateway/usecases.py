"""What the gateway does with two or more collaborators: reserve, cancel, sample the mesh, play race and flood.

Who may say what: before the first send anything may be refused; after it only reservations decides, and silence is 202
`pending`. See `reserve`.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from chassis import tracing
from chassis.catalogue import language
from chassis.clients import InDoubt
from chassis.errors import ServiceError
from chassis.idempotency import fingerprint
from chassis.runtime import Runtime
from gateway.clients import Auditor, Crowd, Inventory, Live, Mesh, Reservations
from gateway.clients.crowd import Heard
from gateway.domain import (
    CANCELLING,
    PENDING,
    active_of,
    edges_of,
    first_send_s,
    percentile_ms,
    resend_s,
    reservation_id_of,
    scope_of,
    states_of,
)
from gateway.errors import (
    CatalogueUnavailable,
    EventBusy,
    EventNotFound,
    MeshBusy,
    RequestInProgress,
    UserBusy,
)
from gateway.schemas import Answered, Count, CrowdReport, LoadOrder, RaceOrder, ReserveRequest
from gateway.settings import Settings
from resilience import deadline

log = structlog.get_logger()

EXPECTED = frozenset({200, 202, 402, 404, 409, 429, 503, 504})
"""Statuses that the contract allows for a well-formed reservation."""

BUSY_LIMIT_S = 60.0
"""Longest wait for open holds before a race, seconds: time to live, grace and sweep of the lab, and some."""

BUYER_LIMIT_S = 60.0
"""Longest time that a buyer of a race comes back after a 429, seconds."""


@dataclass(slots=True)
class Gateway:
    """The parts of one running gateway; what routes get as `request.state.svc`.

    Attributes:
        crowd: None outside the lab.
        crowd_at_work: Held while a race or a flood runs: one at a time.
        under_way: Reservations in flight by user, changed by `reserve_in_turn` only. Who has none has no entry: it is
            never longer than the in-flight limit.
    """

    settings: Settings
    runtime: Runtime
    reservations: Reservations
    inventory: Inventory
    mesh: Mesh
    live: Live
    crowd: Crowd | None
    auditor: Auditor
    crowd_at_work: asyncio.Lock = field(default_factory=asyncio.Lock)
    under_way: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Told:
    """What a buyer is told: 202 while the outcome is open, else 200."""

    body: dict[str, Any]
    replayed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the outcome is still open."""
        return bool(self.body["status"] == "pending")


async def reserve_in_turn(svc: Gateway, order: ReserveRequest, key: str) -> Told:
    """One delivery of a reservation, if its user has not too many under way.

    Raises:
        UserBusy: They have.
        Relayed, ReservationsUnavailable, DeadlineGone: See `reserve`.
    """
    most, busy, user_id = svc.settings.gateway_user_max_inflight, svc.under_way, order.user_id
    if not most:
        return await reserve(svc, order, key)
    if busy[user_id] >= most:
        raise UserBusy(limit=most)
    busy[user_id] += 1
    try:
        return await reserve(svc, order, key)
    finally:
        busy[user_id] -= 1
        if not busy[user_id]:
            del busy[user_id]


def _new_delivery_id(runtime: Runtime) -> str:
    """An id that sorts after earlier ones, so that however many there are, new ones share a page of their index."""
    return f"{int(runtime.now().timestamp() * 1000):011x}{runtime.new_id()}"


async def reserve(svc: Gateway, order: ReserveRequest, key: str) -> Told:
    """One delivery of a reservation, inside the ambient deadline.

    Sent once; while the outcome is in doubt asked again with the same key and delivery, which reservations joins to the
    one that runs. Nothing is cancelled when the caller leaves.

    Raises:
        Relayed: Reservations decided against it.
        ReservationsUnavailable, DeadlineGone: The request provably never got there.
    """
    canonical = order.canonical()
    scope = scope_of(order.user_id)
    reservation_id = reservation_id_of(svc.settings.id_secret, scope, key)
    tracing.about(reservation_id)
    body = {
        "reservation_id": reservation_id,
        "delivery_id": _new_delivery_id(svc.runtime),
        "scope": scope,
        "key": key,
        "fingerprint": fingerprint(canonical),
        "lang": language.get(),
        **canonical,
    }
    try:
        with deadline(first_send_s(deadline.remaining_s() or 0.0)):
            return _told(await svc.reservations.reserve(body, key))
    except InDoubt as doubt:
        log.warning("reserve_in_doubt", reservation_id=reservation_id, why=str(doubt))
    try:
        with deadline(resend_s(deadline.remaining_s() or 0.0)):
            return _told(await svc.reservations.resend(body, key))
    except (InDoubt, RequestInProgress):
        log.warning("reserve_still_open", reservation_id=reservation_id)
    return Told(
        {
            "status": "pending",
            "message": PENDING.render(language.get()),
            "reservation_id": reservation_id,
            "event_id": order.event_id,
            "quantity": canonical["quantity"],
        }
    )


async def cancel(svc: Gateway, reservation_id: str, token: str | None) -> Told:
    """Cancel a confirmed reservation, inside the ambient deadline; open while the refund is on its way.

    Raises:
        Relayed: Reservations decided against it.
        ReservationsUnavailable, DeadlineGone: The request provably never got there.
    """
    tracing.about(reservation_id)
    try:
        with deadline(resend_s(deadline.remaining_s() or 0.0)):
            return _told(await svc.reservations.cancel(reservation_id, token))
    except InDoubt as doubt:
        log.warning("cancel_in_doubt", reservation_id=reservation_id, why=str(doubt))
    return Told(
        {
            "status": "pending",
            "message": CANCELLING.render(language.get()),
            "reservation_id": reservation_id,
        }
    )


async def sample(svc: Gateway) -> dict[str, Any]:
    """The parts of the live stream as they are now: `events`, `mesh`, `faults`, and in the lab `edges`."""

    async def faults() -> list[dict[str, Any]] | None:
        return active_of(await svc.mesh.faults()) if svc.settings.chaos_enabled else None

    events, reports, active = await asyncio.gather(svc.mesh.events(), svc.mesh.reports(), faults())
    parts = {"events": events, "mesh": states_of(reports), "faults": active}
    return {**parts, "edges": edges_of(reports)} if svc.settings.chaos_enabled else parts


async def flood(svc: Gateway, order: LoadOrder) -> CrowdReport:
    """So many reservations by so many workers at once; a 429 is an answer, never repeated.

    Raises:
        MeshBusy: Another race or flood is running.
    """
    crowd = _crowd(svc)
    began_s = svc.runtime.mono()
    numbers = iter(range(order.requests))

    async def work() -> list[Heard]:
        return [  # the numbers are shared: each worker takes the next one
            await crowd.buy(f"load-{index}", order.event_id, crowd.new_key()) for index in numbers
        ]

    async with svc.crowd_at_work:
        shifts = await asyncio.gather(*(work() for _ in range(order.workers)))
    heard = [answer for shift in shifts for answer in shift]
    in_contract = all(answer.status in EXPECTED for answer in heard)
    return _report(heard, began_s, svc.runtime.mono(), ok=in_contract)


async def race(svc: Gateway, order: RaceOrder) -> CrowdReport:
    """Leave `seats` free seats, let `buyers` loose at once, count, and put the event back as it was.

    Buyers come back after a 429. `ok`: as many won as there were seats, and everybody else heard `sold_out`.

    Raises:
        MeshBusy: Another race or flood is running.
        EventNotFound, EventBusy, CatalogueUnavailable: The event cannot be prepared.
    """
    crowd = _crowd(svc)
    retries = 0

    async def persist(index: int) -> Heard:
        nonlocal retries
        key = crowd.new_key()
        came_s = svc.runtime.mono()
        while True:
            answer = await crowd.buy(f"race-{index}", order.event_id, key)
            if answer.status != 429 or svc.runtime.mono() >= came_s + BUYER_LIMIT_S:
                return replace(answer, came_s=came_s)
            retries += 1
            await _pause(svc, answer.retry_after_s)

    async with svc.crowd_at_work:
        free_before = await _free_seats(svc, order.event_id)
        await _prepare(svc, order.event_id, order.seats)
        began_s = svc.runtime.mono()
        heard = await asyncio.gather(*(persist(index) for index in range(order.buyers)))
        ended_s = svc.runtime.mono()
        won = min(order.buyers, order.seats)
        fair = Counter(answer.code for answer in heard) == Counter(
            {"confirmed": won, "sold_out": order.buyers - won}
        )
        await _prepare(svc, order.event_id, free_before)
    return _report(heard, began_s, ended_s, ok=fair, retries=retries)


def _told(body: dict[str, Any]) -> Told:
    replayed = body.pop("replayed", False) is True
    return Told(body, replayed)


def _crowd(svc: Gateway) -> Crowd:
    if svc.crowd is None or svc.crowd_at_work.locked():
        raise MeshBusy
    return svc.crowd


async def _free_seats(svc: Gateway, event_id: str) -> int:
    for event in (await svc.inventory.events()).events:
        if event.event_id == event_id:
            return event.available
    raise EventNotFound(event_id=event_id)


async def _prepare(svc: Gateway, event_id: str, seats: int) -> None:
    """Reset the event, waiting for open holds and for inventory, both bounded."""
    end_s = svc.runtime.mono() + BUSY_LIMIT_S
    while True:
        try:
            await svc.inventory.reset(event_id, seats)
            return
        except (EventBusy, CatalogueUnavailable) as error:
            last: ServiceError = error
        if svc.runtime.mono() >= end_s:
            raise last
        await _pause(svc, last.retry_after_s)


async def _pause(svc: Gateway, wait_s: float | None) -> None:
    # Everybody was told the same wait: jitter of its size keeps them from returning as one.
    await svc.runtime.resilience.sleep((wait_s or 0.2) * (1.0 + svc.runtime.random.random()))


def _report(
    heard: Sequence[Heard], began_s: float, ended_s: float, *, ok: bool, retries: int = 0
) -> CrowdReport:
    accepted_s = [answer.took_s for answer in heard if answer.status in (200, 202)]
    outcomes = Counter((answer.status, answer.code) for answer in heard)
    return CrowdReport(
        outcomes=[
            Count(status=status, code=code, count=count)
            for (status, code), count in sorted(outcomes.items())
        ],
        p50_ms=percentile_ms(accepted_s, 0.5),
        p95_ms=percentile_ms(accepted_s, 0.95),
        series=[
            Answered(
                at_ms=round((one.came_s - began_s) * 1000),
                took_ms=round((one.ended_s - one.came_s) * 1000),
                outcome=one.code,
            )
            for one in sorted(heard, key=lambda one: one.came_s)
        ],
        elapsed_s=round(ended_s - began_s, 3),
        retries=retries,
        ok=ok,
    )
