"""Notifications' database: one row per message, and the mailbox.

Invariants, each kept by SQL: one row per `notification_id`, never deleted; states move by compare-and-set on state and
lease, with a log row in the same transaction; at most one mailbox entry per message, made in the transaction that makes
it DELIVERED. So every transaction may be repeated.
"""

import json
import sqlite3
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from chassis.runtime import Runtime
from chassis.sqlite import Writer, patient
from chassis.telemetry import Metrics
from notifications.domain import (
    Language,
    Mail,
    MessageEvent,
    MessageState,
    Template,
    advance,
)
from notifications.schemas import Notification

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS message (
    number INTEGER PRIMARY KEY, notification_id TEXT NOT NULL UNIQUE, recipient TEXT NOT NULL,
    template TEXT NOT NULL, lang TEXT NOT NULL, data TEXT NOT NULL, subject TEXT NOT NULL, body TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('ACCEPTED', 'INFLIGHT', 'DELIVERED', 'DEAD')),
    lease TEXT, attempts INTEGER NOT NULL DEFAULT 0, redelivered INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL, last_error TEXT, created_at REAL NOT NULL, delivered_at REAL
) STRICT;
CREATE INDEX IF NOT EXISTS message_open ON message (next_at) WHERE state IN ('ACCEPTED', 'INFLIGHT');
CREATE INDEX IF NOT EXISTS message_dead ON message (created_at) WHERE state = 'DEAD';
CREATE INDEX IF NOT EXISTS message_age ON message (created_at);
CREATE INDEX IF NOT EXISTS message_recipient ON message (recipient, created_at);
CREATE TABLE IF NOT EXISTS message_log (
    seq INTEGER PRIMARY KEY, notification_id TEXT NOT NULL, event TEXT NOT NULL, from_state TEXT,
    to_state TEXT NOT NULL, at REAL NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS message_resent ON message_log (notification_id) WHERE event = 'resend';
CREATE TABLE IF NOT EXISTS mailbox (
    message INTEGER PRIMARY KEY REFERENCES message, recipient TEXT NOT NULL, subject TEXT NOT NULL,
    body TEXT NOT NULL, at REAL NOT NULL
) STRICT;
"""
# `next_at`: when an ACCEPTED message is due, and when the lease of an INFLIGHT one ends.

# Spelled as in the schema: only then does SQLite use the partial index.
_IS_OPEN: Final = "state IN ('ACCEPTED', 'INFLIGHT')"

_COLUMNS: Final = (
    "notification_id, recipient, template, lang, subject, body, state, lease, attempts, redelivered,"
    " next_at, last_error, created_at, delivered_at"
)

_ERROR_LENGTH: Final = 200

Db = sqlite3.Connection


class MessageRow(NamedTuple):
    """A message as stored. Instants are epoch seconds; `redelivered` counts sends that may have been a second mail."""

    notification_id: str
    recipient: str
    template: Template
    lang: Language
    subject: str
    body: str
    state: MessageState
    lease: str | None
    attempts: int
    redelivered: int
    next_at: float
    last_error: str | None
    created_at: float
    delivered_at: float | None


class Store:
    """All transactions of notifications. `now` is always epoch seconds."""

    def __init__(self, writer: Writer, runtime: Runtime, metrics: Metrics) -> None:
        self._run = patient(writer, runtime, metrics)

    async def accept(
        self,
        wanted: Sequence[tuple[Notification, Mail]],
        *,
        now: float,
        stays: Callable[[str], bool] | None = None,
    ) -> dict[str, MessageRow]:
        """The message of every id; all in one commit.

        Args:
            wanted: Notifications and their texts.
            now: Epoch seconds.
            stays: Whether mail for a recipient stays in the mailbox: then what this call makes is DELIVERED at once,
                else ACCEPTED. None: nobody's does.
        """

        def transaction(db: Db) -> dict[str, MessageRow]:
            return {
                one.notification_id: _find(db, one.notification_id)
                or _create(db, one, mail, now, here=stays is not None and stays(one.to))
                for one, mail in wanted
            }

        return await self._run(transaction)

    async def claim(
        self, notification_id: str, *, lease: str, until: float, now: float
    ) -> MessageRow | None:
        """The message, leased to the caller until `until`; None if it is not due or someone else is on it."""

        def transaction(db: Db) -> MessageRow | None:
            row = _get(db, notification_id)
            if row.state is MessageState.INFLIGHT and row.lease == lease:
                return row  # a repeat of this very claim
            if row.state not in (MessageState.ACCEPTED, MessageState.INFLIGHT) or row.next_at > now:
                return None
            again = row.state is MessageState.INFLIGHT
            db.execute(
                "UPDATE message SET state = ?, lease = ?, attempts = attempts + 1, redelivered = redelivered + ?,"
                " next_at = ? WHERE notification_id = ? AND state = ? AND lease IS ?",
                (
                    advance(row.state, MessageEvent.CLAIM),
                    lease,
                    again,
                    until,
                    notification_id,
                    row.state,
                    row.lease,
                ),
            )
            _log(db, row, MessageEvent.CLAIM, now)
            return _get(db, notification_id)

        return await self._run(transaction)

    async def delivered(self, row: MessageRow, *, now: float) -> MessageState:
        """The claimed message was sent; its state now, which another sender may have changed."""
        return await self._run(lambda db: _end(db, row, MessageEvent.DELIVER, now))

    async def dead(self, row: MessageRow, *, error: str, now: float) -> MessageState:
        """The claimed message can never be sent; its state now."""
        return await self._run(lambda db: _end(db, row, MessageEvent.GIVE_UP, now, error=error))

    async def put_back(
        self, row: MessageRow, *, error: str, next_at: float, now: float
    ) -> MessageState:
        """The claimed message was certainly not sent; try again at `next_at`."""
        return await self._run(
            lambda db: _end(db, row, MessageEvent.PUT_BACK, now, error=error, next_at=next_at)
        )

    async def doubt(self, row: MessageRow, *, error: str, next_at: float) -> MessageState:
        """The claimed message may have been sent: it stays INFLIGHT, and its lease ends at `next_at`."""

        def transaction(db: Db) -> MessageState:
            db.execute(
                "UPDATE message SET next_at = ?, last_error = ? WHERE notification_id = ? AND state = ? AND lease = ?",
                (next_at, error[:_ERROR_LENGTH], row.notification_id, row.state, row.lease),
            )
            return _get(db, row.notification_id).state

        return await self._run(transaction)

    async def put_in_mailbox(self, notification_id: str, *, now: float) -> MessageState:
        """Deliver to the mailbox: entry and DELIVERED in one commit; an ended message stays as it is."""
        return await self._run(lambda db: _deliver_here(db, _get(db, notification_id), now))

    async def resend(
        self, notification_id: str, *, recipient: str | None, now: float
    ) -> tuple[MessageRow, bool] | None:
        """A DEAD message is ACCEPTED again, for `recipient` if given; any other stays as it is.

        Returns:
            The message and whether this call revived it; None when there is no such message.
        """
        return await self._run(lambda db: _resend(db, notification_id, recipient, now))

    async def find(self, notification_id: str) -> MessageRow | None:
        """The message of that id."""
        return await self._run(lambda db: _find(db, notification_id))

    async def pending(self) -> int:
        """How many messages are neither delivered nor dead."""
        return await self._run(_pending)

    async def look(self, *, now: float, limit: int) -> tuple[list[MessageRow], int]:
        """Up to `limit` open messages whose time has come, longest waiting first; and `pending`."""
        return await self._run(lambda db: (_due(db, now, limit), _pending(db)))

    async def messages(
        self,
        *,
        recipient: str | None,
        notification_id: str | None,
        limit: int,
        state: MessageState | None = None,
    ) -> list[MessageRow]:
        """The newest messages; of one recipient, with one id, in one state if given."""
        filters = {"recipient": recipient, "notification_id": notification_id}
        given = {column: value for column, value in filters.items() if value is not None}
        conditions = [f"{column} = ?" for column in given]
        if state is not None:  # written out: only then does SQLite use the partial index
            conditions.append(f"state = '{state}'")
        where = " AND ".join(conditions) or "1"
        return await self._run(
            lambda db: [
                _row(found)
                for found in db.execute(
                    f"SELECT {_COLUMNS} FROM message WHERE {where}"  # noqa: S608 - own column names
                    " ORDER BY created_at DESC, rowid DESC LIMIT ?",
                    (*given.values(), limit),
                )
            ]
        )


def _due(db: Db, now: float, limit: int) -> list[MessageRow]:
    rows = db.execute(
        f"SELECT {_COLUMNS} FROM message WHERE {_IS_OPEN} AND next_at <= ?"  # noqa: S608 - constants
        " ORDER BY next_at, notification_id LIMIT ?",
        (now, limit),
    )
    return [_row(found) for found in rows]


def _pending(db: Db) -> int:
    return int(db.execute(f"SELECT count(*) FROM message WHERE {_IS_OPEN}").fetchone()[0])  # noqa: S608 - constant


def _row(found: Sequence[object]) -> MessageRow:
    row = MessageRow(*found)  # type: ignore[arg-type]  # the columns are named in this order
    return row._replace(state=MessageState(row.state))


def _find(db: Db, notification_id: str) -> MessageRow | None:
    found = db.execute(
        f"SELECT {_COLUMNS} FROM message WHERE notification_id = ?",  # noqa: S608 - constants
        (notification_id,),
    ).fetchone()
    return _row(found) if found else None


def _get(db: Db, notification_id: str) -> MessageRow:
    row = _find(db, notification_id)
    assert row is not None, "messages are never deleted"
    return row


def _create(
    db: Db, notification: Notification, mail: Mail, now: float, *, here: bool
) -> MessageRow:
    """A new message; with `here` it has been through all states already, and lies in the mailbox."""
    events = [MessageEvent.ACCEPT, *([MessageEvent.CLAIM, MessageEvent.DELIVER] if here else [])]
    states: list[MessageState | None] = [None]
    for event in events:
        states.append(advance(states[-1], event))
    made = db.execute(
        "INSERT INTO message (notification_id, recipient, template, lang, data, subject, body, state, attempts,"  # noqa: S608
        f" next_at, created_at, delivered_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}",
        (
            notification.notification_id,
            notification.to,
            notification.template,
            notification.lang,
            json.dumps(notification.data, ensure_ascii=False, sort_keys=True),
            mail.subject,
            mail.body,
            states[-1],
            int(here),
            now,
            now,
            now if here else None,
        ),
    ).fetchone()
    db.executemany(
        "INSERT INTO message_log (notification_id, event, from_state, to_state, at) VALUES (?, ?, ?, ?, ?)",
        [
            (notification.notification_id, event, *arrow, now)
            for event, arrow in zip(events, pairwise(states), strict=True)
        ],
    )
    row = _row(made)
    if here:
        _put_in_mailbox(db, row, now)
    return row


def _end(
    db: Db,
    row: MessageRow,
    event: MessageEvent,
    now: float,
    *,
    error: str | None = None,
    next_at: float | None = None,
) -> MessageState:
    """End the lease of `row`; nothing if it is not the current one any more."""
    changed = db.execute(
        "UPDATE message SET state = ?, lease = NULL, last_error = ?, next_at = coalesce(?, next_at), delivered_at = ?"
        " WHERE notification_id = ? AND state = ? AND lease IS ?",
        (
            advance(row.state, event),
            error and error[:_ERROR_LENGTH],
            next_at,
            now if event is MessageEvent.DELIVER else None,
            row.notification_id,
            row.state,
            row.lease,
        ),
    ).rowcount
    if changed:
        _log(db, row, event, now)
    return _get(db, row.notification_id).state


def _resend(
    db: Db, notification_id: str, recipient: str | None, now: float
) -> tuple[MessageRow, bool] | None:
    row = _find(db, notification_id)
    if row is None:
        return None
    if row.state is not MessageState.DEAD:
        ours = db.execute(
            "SELECT 1 FROM message_log WHERE event = 'resend' AND notification_id = ? AND at = ?",
            (notification_id, now),
        ).fetchone()
        return row, ours is not None  # a repeat of this very wish, whose answer was lost
    db.execute(
        "UPDATE message SET state = ?, recipient = coalesce(?, recipient), next_at = ?, last_error = NULL"
        " WHERE notification_id = ? AND state = ?",
        (advance(row.state, MessageEvent.RESEND), recipient, now, notification_id, row.state),
    )
    _log(db, row, MessageEvent.RESEND, now)
    return _get(db, notification_id), True


def _deliver_here(db: Db, row: MessageRow, now: float) -> MessageState:
    if row.state not in (MessageState.ACCEPTED, MessageState.INFLIGHT):
        return row.state
    if row.state is MessageState.ACCEPTED:
        db.execute(
            "UPDATE message SET state = ?, attempts = attempts + 1 WHERE notification_id = ? AND state = ?",
            (advance(row.state, MessageEvent.CLAIM), row.notification_id, row.state),
        )
        _log(db, row, MessageEvent.CLAIM, now)
        row = row._replace(state=MessageState.INFLIGHT)
    _put_in_mailbox(db, row, now)
    return _end(db, row, MessageEvent.DELIVER, now)


def _put_in_mailbox(db: Db, row: MessageRow, now: float) -> None:
    db.execute(
        "INSERT INTO mailbox SELECT number, recipient, subject, body, ? FROM message WHERE notification_id = ?",
        (now, row.notification_id),
    )


def _log(db: Db, row: MessageRow, event: MessageEvent, now: float) -> None:
    db.execute(
        "INSERT INTO message_log (notification_id, event, from_state, to_state, at) VALUES (?, ?, ?, ?, ?)",
        (row.notification_id, event, row.state, advance(row.state, event), now),
    )
