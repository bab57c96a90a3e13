"""The tables of `reservations.db`."""

from typing import Final

from reservations.domain import OPEN

OPEN_SQL: Final = ", ".join(f"'{state}'" for state in OPEN)

SCHEMA: Final = f"""
CREATE TABLE IF NOT EXISTS reservation (
    saga INTEGER PRIMARY KEY, reservation_id TEXT NOT NULL UNIQUE, scope TEXT NOT NULL, key TEXT NOT NULL,
    fingerprint TEXT NOT NULL, delivery_id TEXT NOT NULL, run_id TEXT NOT NULL, user_id TEXT NOT NULL,
    event_id TEXT NOT NULL, quantity INTEGER NOT NULL, wanted TEXT, price_minor INTEGER, email TEXT, lang TEXT NOT NULL,
    manage_token TEXT NOT NULL, state TEXT NOT NULL, reason TEXT, refusal TEXT, attempt INTEGER NOT NULL,
    version INTEGER NOT NULL, hold_token TEXT, seats TEXT NOT NULL, unit_price INTEGER, currency TEXT,
    undo_payment INTEGER NOT NULL, lease_owner TEXT NOT NULL, lease_until REAL NOT NULL, tries INTEGER NOT NULL,
    next_at REAL NOT NULL, created_at REAL NOT NULL, changed_at REAL NOT NULL, UNIQUE (scope, key)
) STRICT;
CREATE INDEX IF NOT EXISTS reservation_open ON reservation (next_at) WHERE state IN ({OPEN_SQL});
CREATE TABLE IF NOT EXISTS saga_log (
    seq INTEGER PRIMARY KEY, saga INTEGER NOT NULL REFERENCES reservation, version INTEGER,
    attempt INTEGER NOT NULL, at REAL NOT NULL, from_state TEXT, to_state TEXT NOT NULL, step TEXT NOT NULL,
    detail TEXT, UNIQUE (saga, version)
) STRICT;
CREATE TABLE IF NOT EXISTS saga_try (
    seq INTEGER PRIMARY KEY, line INTEGER NOT NULL REFERENCES saga_log, at REAL NOT NULL, took_s REAL NOT NULL,
    service TEXT, kind TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS saga_try_of ON saga_try (line);
CREATE TABLE IF NOT EXISTS delivery (
    delivery_id TEXT PRIMARY KEY, reservation_id TEXT, at REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS trace (
    saga INTEGER PRIMARY KEY REFERENCES reservation, traceparent TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY, saga INTEGER NOT NULL REFERENCES reservation, kind TEXT NOT NULL
        CHECK (kind IN ('capture', 'notify')),
    key TEXT NOT NULL, payload TEXT NOT NULL, state TEXT NOT NULL
        CHECK (state IN ('PENDING', 'SENT', 'SUPERSEDED', 'DEAD')),
    tries INTEGER NOT NULL DEFAULT 0, next_at REAL NOT NULL, detail TEXT, created_at REAL NOT NULL, sent_at REAL,
    UNIQUE (saga, key)
) STRICT;
CREATE INDEX IF NOT EXISTS outbox_pending ON outbox (kind, next_at) WHERE state = 'PENDING';
CREATE INDEX IF NOT EXISTS outbox_pending_key ON outbox (key) WHERE state = 'PENDING';
CREATE INDEX IF NOT EXISTS outbox_dead ON outbox (key) WHERE state = 'DEAD';
"""
# Ids are random, so each index over them costs every commit of a reservation a page of its own once there are many.
# `saga` is the reservation's number here: whatever belongs to it names it by that, and new entries share the last page
# of their index. Where an index need only hold what is open, it does, and stays small whatever the past.
