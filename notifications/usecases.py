"""What notifications can be asked to do: store first, then deliver; what stays in our own mailbox is both at once.

Delivery runs in tasks of the service, not of the request: a caller waits a moment for the outcome and never cuts it.
"""

import asyncio
from collections.abc import Sequence

import structlog
from prometheus_client import Counter

from chassis.errors import NotFound
from chassis.runtime import Runtime
from chassis.telemetry import Metrics
from notifications.clients import Mailer, MaybeDelivered, NotDelivered, Undeliverable
from notifications.domain import Envelope, Mail, MessageState, is_email, render
from notifications.schemas import Notification
from notifications.settings import Settings
from notifications.store import MessageRow, Store
from resilience import AttemptTimeout, Policy, full_jitter_s, without_deadline

log = structlog.get_logger()

INLINE_S = 0.4
"""How long /send waits for the outcome; delivery goes on without it."""

_SEND_SHARE = 2 / 3
"""Of the lease, for one attempt: a living sender has ended before it is taken for dead."""

_SENDERS = 8
_MOST_RUNNING = 512
_BACKOFF_BASE_S = 1.0
_BACKOFF_CAP_S = 60.0


class Notifications:
    """The service object that routes and the loop use; one per app.

    Args:
        store: Where messages are.
        mailbox: Mailer for everything that cannot or need not be mailed.
        smtp: Mailer for e-mail addresses; None sends all to the mailbox.
        settings: For the links in the texts.
        runtime: The effects.
        metrics: Where policies and counters show.
    """

    def __init__(
        self,
        store: Store,
        mailbox: Mailer,
        smtp: Mailer | None,
        settings: Settings,
        runtime: Runtime,
        metrics: Metrics,
    ) -> None:
        self.store = store
        self.runtime = runtime
        self.gateway_url = settings.gateway_url
        self.lease_s = settings.mail_lease_s
        self.slots = asyncio.Semaphore(_SENDERS)
        self.redelivered: Counter = metrics.counter(
            "notifications_redelivered", "Sends that may have been a second mail."
        )
        self._mailbox = mailbox
        self._smtp = smtp
        # Id → its delivery; entered by `start`, removed by the task itself when done.
        self._running: dict[str, asyncio.Task[MessageState]] = {}
        self.smtp_calls = Policy(attempt_s=_SEND_SHARE * self.lease_s).bind(
            "notifications.smtp", runtime.resilience, (metrics.on_policy_event,)
        )

    def now(self) -> float:
        """Epoch seconds."""
        return self.runtime.now().timestamp()

    def mailer_for(self, recipient: str) -> Mailer:
        """SMTP for e-mail addresses where it is set, else the mailbox."""
        return self._smtp if self._smtp is not None and is_email(recipient) else self._mailbox

    def stays(self, recipient: str) -> bool:
        """Whether mail for them stays in our own mailbox, so that accepting and delivering is one commit."""
        return self.mailer_for(recipient).is_atomic

    def is_running(self, notification_id: str) -> bool:
        """Whether a delivery of it is under way in this process."""
        return notification_id in self._running

    def has_room(self) -> bool:
        """Whether more deliveries may be started; what is refused here is found by the loop."""
        return len(self._running) < _MOST_RUNNING

    def start(self, row: MessageRow) -> asyncio.Task[MessageState]:
        """The delivery of `row`, begun now or already under way."""
        ref = row.notification_id
        if ref not in self._running:
            with without_deadline():
                task = asyncio.create_task(deliver(self, row), name=f"deliver:{ref}")
            self._running[ref] = task
            task.add_done_callback(lambda done: self._ended(ref, done))
        return self._running[ref]

    def _ended(self, notification_id: str, task: asyncio.Task[MessageState]) -> None:
        del self._running[notification_id]
        error = None if task.cancelled() else task.exception()
        if error is not None:  # still ACCEPTED, or leased: the loop finds it again
            log.warning("message_undelivered", notification_id=notification_id, error=repr(error))

    async def drain(self, grace_s: float) -> None:
        """Let running deliveries end for `grace_s`, then cancel them: their leases run out, the next start goes on."""
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=grace_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def send(
    notifications: Notifications, items: Sequence[Notification]
) -> dict[str, MessageState]:
    """Store the messages in one commit, try to deliver at once, and say how far each came within `INLINE_S`.

    A re-send says where its message stands, and never makes a second mail.

    Raises:
        StorageUnavailable: Unknown whether they are stored; re-sending is safe.
    """
    wanted = [
        (item, render(item.template, item.lang, item.data, notifications.gateway_url))
        for item in items
    ]
    with without_deadline():
        rows = await notifications.store.accept(
            wanted, now=notifications.now(), stays=notifications.stays
        )
        now = notifications.now()
        tasks = {
            ref: notifications.start(row)
            for ref, row in rows.items()
            if notifications.is_running(ref)
            or (
                row.state is MessageState.ACCEPTED
                and row.next_at <= now
                and notifications.has_room()
            )
        }
        if tasks:
            await asyncio.wait(tasks.values(), timeout=INLINE_S)
    return {ref: _state_of(row, tasks.get(ref)) for ref, row in rows.items()}


def _state_of(row: MessageRow, task: asyncio.Task[MessageState] | None) -> MessageState:
    if task is None or not task.done() or task.cancelled() or task.exception() is not None:
        return row.state
    return task.result()


async def resend(
    notifications: Notifications, notification_id: str, to: str | None
) -> tuple[MessageRow, bool]:
    """Try a dead message again, at the corrected address `to` if given, and wait `INLINE_S` for the outcome.

    Returns:
        The message as it is now, and whether it was dead; one that was not is left alone, so repeating is safe.

    Raises:
        NotFound: There is no such message.
        StorageUnavailable: Unknown whether it was revived; repeating is safe.
    """
    with without_deadline():
        found = await notifications.store.resend(
            notification_id, recipient=to, now=notifications.now()
        )
        if found is None:
            raise NotFound
        row, was_dead = found
        if not was_dead:
            return row, False
        log.info("message_resent", notification_id=notification_id, corrected=to is not None)
        await asyncio.wait({notifications.start(row)}, timeout=INLINE_S)
        return await notifications.store.find(notification_id) or row, True


async def deliver(notifications: Notifications, row: MessageRow) -> MessageState:
    """One attempt at a due message; where it stands afterwards.

    Raises:
        StorageUnavailable: Unknown what is stored; the loop finds out.
    """
    mailer = notifications.mailer_for(row.recipient)
    envelope = Envelope(row.notification_id, row.recipient, Mail(row.subject, row.body))
    if mailer.is_atomic:
        await mailer.send(envelope)
        return MessageState.DELIVERED
    async with notifications.slots:
        now = notifications.now()
        claimed = await notifications.store.claim(
            row.notification_id,
            lease=notifications.runtime.new_id(),
            until=now + notifications.lease_s,
            now=now,
        )
        if claimed is None:
            return row.state
        if claimed.redelivered > row.redelivered:
            notifications.redelivered.inc()
        return await _send_claimed(notifications, mailer, claimed, envelope)


async def _send_claimed(
    notifications: Notifications, mailer: Mailer, row: MessageRow, envelope: Envelope
) -> MessageState:
    store = notifications.store
    wait_s = full_jitter_s(
        row.attempts, _BACKOFF_BASE_S, _BACKOFF_CAP_S, notifications.runtime.resilience.random
    )
    try:
        await notifications.smtp_calls.call(lambda: mailer.send(envelope))
    except Undeliverable as error:
        # Why, is kept with the message: what a mail server says quotes the address.
        log.warning("message_dead", notification_id=row.notification_id)
        return await store.dead(row, error=str(error), now=notifications.now())
    except NotDelivered as error:
        now = notifications.now()
        return await store.put_back(row, error=str(error), next_at=now + wait_s, now=now)
    except (MaybeDelivered, AttemptTimeout) as error:
        return await store.doubt(row, error=str(error), next_at=notifications.now() + wait_s)
    return await store.delivered(row, now=notifications.now())
