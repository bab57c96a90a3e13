"""No query walks through the past: whatever a service asks of its database, it finds by an index.

One of everything is done over the whole mesh, every statement is written down, and SQLite is asked how it would look.
An index over open rows only (`WHERE state = …`) may be walked: it stays small, however long the past is.
"""

import asyncio
import dataclasses
import re
import sqlite3
from contextlib import closing

import pytest

from chassis import runtime
from tests.support.mesh import mesh

SMALL = {"event", "stock", "seat"}
"""Tables that grow with the catalogue, not with what was sold."""

WALKED_IN_ORDER = {"message_age"}
"""Whole indexes read from one end, with a LIMIT."""

STEP = re.compile(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?")


def asked_of(path, sql):
    """What SQLite would walk through for `sql`, as it says it."""
    names = set(re.findall(r":(\w+)", sql))
    numbered = [int(number) for number in re.findall(r"\?(\d+)", sql)]
    values = (
        dict.fromkeys(names)
        if names
        else [None] * max([*numbered, 0] if numbered else [sql.count("?")])
    )
    with closing(sqlite3.connect(path)) as db:
        partial = {
            name
            for (name,) in db.execute(
                "SELECT name FROM sqlite_master WHERE type = 'index' AND sql LIKE '% WHERE %'"
            )
        }
        steps = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    fine = partial | WALKED_IN_ORDER
    walks = [
        (step, found) for step in steps if (found := STEP.match(step)) and "json_each" not in step
    ]
    return [step for step, found in walks if found[1] not in SMALL and found[2] not in fine]


async def everything(m):
    """At least one of whatever a buyer or an operator can make the services ask."""
    key = {"idempotency-key": "k" * 20}
    first = (await m.reserve(headers=key, email="ana@example.com")).json()
    await m.reserve(headers=key)
    await m.reserve(seats=["A-05", "A-06"], quantity=2)
    await asyncio.sleep(10)
    await m["gateway"].post(
        f"/api/reservations/{first['reservation_id']}/cancel",
        headers={"x-manage-token": first["manage_token"]},
    )
    await m["gateway"].get(f"/api/reservations/{first['reservation_id']}")
    for service, fault in (("payments", "fail"), ("notifications", "down"), ("inventory", "error")):
        await m.fault(service, fault)
        await m.reserve()
        await asyncio.sleep(20)
        await m.calm()
    for service in m.clients:
        await m[service].get("/readyz?verbose=1")
        await m[service].get("/metrics")
    await m["inventory"].get("/events/concert-01/seats")
    await m["notifications"].get("/messages")
    await m["notifications"].get("/messages", params={"to": "ana@example.com"})
    await m["notifications"].post(f"/messages/{first['reservation_id']}.confirmed/resend", json={})
    await m["payments"].get(f"/payments/{first['reservation_id']}.1")
    await asyncio.sleep(60)
    for seats in (5, 25):
        await m["inventory"].post("/admin/reset", json={"event_id": "concert-01", "seats": seats})


@pytest.fixture
async def statements(tmp_path, monkeypatch):
    """Every statement that looks for something, with its database."""
    asked = set()

    class Recording(sqlite3.Connection):
        path = tmp_path

        def execute(self, sql, *values):
            asked.add((self.path, sql))
            return super().execute(sql, *values)

    async def connect_db(path):
        def connector():
            connection = sqlite3.connect(path, isolation_level=None, timeout=0, factory=Recording)
            connection.path = path
            return connection

        return await runtime.InlineConnection(connector, 64)

    simulated = runtime.simulated
    monkeypatch.setattr(
        runtime,
        "simulated",
        lambda *given: dataclasses.replace(simulated(*given), connect_db=connect_db),
    )
    async with mesh(tmp_path) as m:
        await everything(m)
    looking = ("SELECT", "UPDATE", "DELETE")
    return sorted(one for one in asked if one[1].lstrip().upper().startswith(looking))


async def test_no_query_walks_through_the_past(statements):
    assert len({path for path, _ in statements}) == 5
    walks = {f"{path.stem}: {sql}": asked_of(path, sql) for path, sql in statements}
    assert len(walks) > 40
    assert {sql: steps for sql, steps in walks.items() if steps} == {}


def test_a_walk_is_noticed(tmp_path):
    path = tmp_path / "a.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE past (state TEXT, at REAL)")
        db.execute("CREATE INDEX past_open ON past (at) WHERE state = 'OPEN'")
    assert asked_of(path, "SELECT at FROM past WHERE at = ?") == ["SCAN past"]
    assert asked_of(path, "SELECT at FROM past WHERE state = 'OPEN'") == []
