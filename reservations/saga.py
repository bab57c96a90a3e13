"""The saga: what is called in which state, what undoes it, and where the pivot is.

| state | step | action | undone by |
|---|---|---|---|
| RECEIVED | hold | inventory /reserve | release |
| HELD | authorize | payments /pay | cancel payment |
| AUTHORIZED | sell | inventory /confirm (the pivot is behind us: only forward) | – |
| CANCELLING | undo | release, and cancel payment if it may have been asked for | – |
| REFUNDING | refund | cancel payment, release | – |

A step's decision is committed before its call is made and its result before the next step. An action returns the arrow
to make; one that learns nothing raises `Stuck`, and whoever drives it decides when to try again.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from chassis.clients import InDoubt, NotSent
from chassis.runtime import Runtime
from reservations.clients import (
    Declined,
    HoldGone,
    HoldRefused,
    Inventory,
    Notifications,
    PaymentGone,
    Payments,
    Trail,
)
from reservations.domain import END_OF, Reservation, State, Try
from reservations.store import Arrow
from resilience import deadline, without_deadline

PAY_NEEDS_S: Final = 1.7
"""Seconds that must be in hand before paying: 1 s for the payment, 0.7 s to sell and answer."""

AFTER_PAY_S: Final = 0.7


@dataclass(frozen=True, slots=True)
class Collaborators:
    """Everybody the saga calls."""

    inventory: Inventory
    payments: Payments
    notifications: Notifications


class Stuck(Exception):
    """The step has no result: nobody knows what the callee did, or it did nothing. Try again later.

    Attributes:
        tries: What was tried.
    """

    tries: tuple[Try, ...] = ()


Action = Callable[[Collaborators, Reservation, bool], Awaitable[Arrow]]


class Step(NamedTuple):
    """One row of the saga table.

    Attributes:
        name: Name in the log.
        state: The state in which it runs.
        action: Makes the call and says which arrow follows; its flag says whether a buyer waits.
    """

    name: str
    state: State
    action: Action


async def _hold(others: Collaborators, row: Reservation, _inline: bool) -> Arrow:
    try:
        held = await others.inventory.hold(row)
    except HoldRefused as refused:
        return Arrow(
            State.REFUSED,
            "hold",
            {"reason": refused.reason, "refusal": _refusal(refused)},
            refused.reason,
        )
    except (HoldGone, NotSent, InDoubt) as error:
        return cancelling("hold", "inventory_unavailable", repr(error))
    return Arrow(
        State.HELD,
        "hold",
        {
            "hold_token": held.token,
            "seats": _json(held.seats),
            "unit_price": held.unit_price,
            "currency": held.currency,
        },
        ", ".join(held.seats),
    )


async def _authorize(others: Collaborators, row: Reservation, _inline: bool) -> Arrow:
    left_s = deadline.remaining_s()
    if left_s is not None and left_s < PAY_NEEDS_S:
        return cancelling("authorize", "payments_unavailable", "no time left to pay", pay=True)
    try:
        with deadline(1e6 if left_s is None else left_s - AFTER_PAY_S):
            await others.payments.authorize(row)
    except Declined:
        return cancelling("authorize", "payment_declined", None, pay=True)
    except (NotSent, PaymentGone) as error:
        return cancelling("authorize", "payments_unavailable", repr(error), pay=True)
    except InDoubt as error:
        reason = "payment_timeout" if error.timed_out else "payments_unavailable"
        return cancelling("authorize", reason, repr(error), pay=True)
    return Arrow(State.AUTHORIZED, "authorize", {})


async def _sell(others: Collaborators, row: Reservation, _inline: bool) -> Arrow:
    try:
        with without_deadline():
            await others.inventory.sell(row)
    except HoldGone:
        return cancelling("sell", "hold_gone", None, pay=True)
    except (NotSent, InDoubt) as error:
        raise Stuck(repr(error)) from error
    return Arrow(
        State.CONFIRMED,
        "sell",
        {},
        outbox=(
            ("capture", row.ref, {"payment_ref": row.ref}, 0.0),
            # The driver sends the notice inline first; the outbox waits for it to have had its turn.
            ("notify", f"{row.reservation_id}.confirmed", notice_of(row, "confirmed"), 1.0),
        ),
    )


async def _undo(others: Collaborators, row: Reservation, inline: bool) -> Arrow:
    await _take_back(others, row, inline, pay=row.undo_payment)
    assert row.reason is not None
    return Arrow(END_OF[row.reason], "undo", {})


async def _refund(others: Collaborators, row: Reservation, inline: bool) -> Arrow:
    await _take_back(others, row, inline, pay=True)
    notice = ("notify", f"{row.reservation_id}.cancelled", notice_of(row, "cancelled"), 0.0)
    return Arrow(State.REFUNDED, "refund", {}, outbox=(notice,))


async def _take_back(others: Collaborators, row: Reservation, inline: bool, *, pay: bool) -> None:
    """Both compensations at once; both are keyed, so a half-done pair is simply done again."""
    compensations = [others.inventory.release(row, inline=inline)]
    if pay:
        compensations.append(others.payments.cancel(row, inline=inline))
    with without_deadline():
        results = await asyncio.gather(*compensations, return_exceptions=True)
    failures = [result for result in results if result is not None]
    for failure in failures:
        if not isinstance(failure, NotSent | InDoubt):
            raise failure
    if failures:
        raise Stuck("; ".join(repr(failure) for failure in failures))


STEPS: Final = {
    step.state: step
    for step in (
        Step("hold", State.RECEIVED, _hold),
        Step("authorize", State.HELD, _authorize),
        Step("sell", State.AUTHORIZED, _sell),
        Step("undo", State.CANCELLING, _undo),
        Step("refund", State.REFUNDING, _refund),
    )
}
"""The saga, by state. States without a step are ends."""


POINTS: Final = (
    "accept.before",
    "cancel.before",
    "recover.taken",
    *(f"{step.name}.{moment}" for step in STEPS.values() for moment in ("before", "called")),
    *(f"{state}.committed" for state in State),
    *(f"notice.{moment}" for moment in ("before", "called")),
)
"""Where `crash_at` can end the process: around every step's call, after every commit, by the table above."""


async def taken(
    step: Step, others: Collaborators, row: Reservation, runtime: Runtime, *, inline: bool
) -> Arrow:
    """Take a step. Its arrow knows what was tried on the way, unless that was one attempt that went well.

    Raises:
        Stuck: Likewise.
    """
    with Trail() as trail:
        try:
            arrow = await step.action(others, row, inline)
        except Stuck as stuck:
            stuck.tries = trail.tries(runtime)
            raise
    # After a failure even that one attempt says something: when it began.
    if trail.is_plain and not row.tries:
        return arrow
    return replace(arrow, tries=trail.tries(runtime))


def cancelling(step: str, reason: str, detail: str | None, *, pay: bool = False) -> Arrow:
    """The decision to go backward. `pay`: a payment may have been asked for, so it must be cancelled too."""
    return Arrow(
        State.CANCELLING, step, {"reason": reason, "undo_payment": int(pay)}, detail or reason
    )


def _refusal(refused: HoldRefused) -> str:
    members = ("seats", "price", "price_minor", "currency", "event_id")
    return _json({name: refused.problem[name] for name in members if name in refused.problem})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def notice_of(row: Reservation, template: str) -> dict[str, object]:
    """The request to notifications that tells the buyer about `row`."""
    return {
        "notification_id": f"{row.reservation_id}.{template}",
        "to": row.email or row.user_id,
        "template": template,
        "lang": row.lang,
        "data": {
            "reservation_id": row.reservation_id,
            "event_id": row.event_id,
            "seats": row.seats,
            "amount_minor": row.total_minor or 0,
            "currency": row.currency or "",
        },
    }
