"""Every transaction may be repeated, because after a failed commit nobody knows whether it took effect."""

from itertools import chain, repeat

import pytest

from notifications.domain import Mail, MessageState
from notifications.schemas import Notification

S = MessageState
MAIL = Mail("subject", "body")


def note(ref: str = "r1.confirmed", to: str = "ana@example.com") -> Notification:
    return Notification(notification_id=ref, to=to, template="confirmed", lang="es", data={})


async def accepted(store, ref: str = "r1.confirmed", now: float = 1.0):
    return (await store.accept([(note(ref), MAIL)], now=now))[ref]


async def test_one_row_per_id_whatever_the_re_send_says(open_store):
    async with open_store() as store:
        first = await accepted(store)
        other = await store.accept([(note(to="eva@example.com"), Mail("x", "y"))], now=9.0)
    assert other == {"r1.confirmed": first}


@pytest.mark.parametrize("plan", [None, "before", "after"])
async def test_what_stays_here_is_accepted_and_delivered_in_one_commit(open_store, query, plan):
    plans = chain.from_iterable(repeat([plan, plan, None], 5))
    async with open_store(plan=lambda: next(plans, None)) as store:
        wanted = [(note(), MAIL), (note("r2.confirmed", "eva"), MAIL)]
        rows = await store.accept(wanted, now=2.0, stays=lambda recipient: recipient == "eva")
    assert [row.state for row in rows.values()] == [S.ACCEPTED, S.DELIVERED]
    assert rows["r2.confirmed"].delivered_at == 2.0
    assert query(
        "SELECT notification_id, mailbox.recipient FROM mailbox JOIN message ON number = message"
    ) == [("r2.confirmed", "eva")]
    assert query(
        "SELECT event, from_state, to_state FROM message_log WHERE notification_id = 'r2.confirmed' ORDER BY seq"
    ) == [
        ("accept", None, "ACCEPTED"),
        ("claim", "ACCEPTED", "INFLIGHT"),
        ("deliver", "INFLIGHT", "DELIVERED"),
    ]


async def test_a_claim_keeps_others_out_until_its_lease_ends(open_store):
    async with open_store() as store:
        await accepted(store)
        mine = await store.claim("r1.confirmed", lease="a", until=31.0, now=1.0)
        assert (mine.state, mine.attempts, mine.redelivered) == (S.INFLIGHT, 1, 0)
        assert await store.claim("r1.confirmed", lease="b", until=60.0, now=30.9) is None
        assert (await store.look(now=30.9, limit=9))[0] == []
        theirs = await store.claim("r1.confirmed", lease="b", until=61.0, now=31.0)
        assert (theirs.attempts, theirs.redelivered) == (2, 1)
        # The first sender comes back from the dead: its word does not count any more.
        assert await store.put_back(mine, error="late", next_at=0.0, now=32.0) is S.INFLIGHT
        assert await store.delivered(theirs, now=33.0) is S.DELIVERED
        assert await store.dead(mine, error="late", now=34.0) is S.DELIVERED


@pytest.mark.parametrize("plan", ["before", "after"])
async def test_a_commit_in_doubt_is_repeated_without_harm(open_store, query, plan):
    plans = chain.from_iterable(repeat([plan, plan, None], 5))
    async with open_store(plan=lambda: next(plans, None)) as store:
        await accepted(store)
        first = await store.claim("r1.confirmed", lease="a", until=31.0, now=1.0)
        await store.put_back(first, error="busy", next_at=2.0, now=1.5)
        second = await store.claim("r1.confirmed", lease="b", until=32.0, now=2.0)
        assert (second.attempts, second.redelivered) == (2, 0)
        assert await store.delivered(second, now=3.0) is S.DELIVERED
    assert [event for (event,) in query("SELECT event FROM message_log ORDER BY seq")] == [
        "accept",
        "claim",
        "put_back",
        "claim",
        "deliver",
    ]


@pytest.mark.parametrize("plan", [None, "after"])
async def test_the_mailbox_gets_one_entry(open_store, query, plan):
    plans = iter([None, plan, plan, None])
    async with open_store(plan=lambda: next(plans, None)) as store:
        await accepted(store)
        for _ in range(2):
            state = await store.put_in_mailbox("r1.confirmed", now=2.0)
            assert state is S.DELIVERED
        found = (await store.messages(recipient=None, notification_id=None, limit=9))[0]
    assert (found.attempts, found.delivered_at) == (1, 2.0)
    assert query(
        "SELECT notification_id, mailbox.recipient, mailbox.subject, at FROM mailbox JOIN message ON number = message"
    ) == [("r1.confirmed", "ana@example.com", "subject", 2.0)]


async def test_doubt_keeps_the_lease_until_the_retry_and_counts_it(open_store):
    async with open_store() as store:
        await accepted(store)
        row = await store.claim("r1.confirmed", lease="a", until=31.0, now=1.0)
        assert await store.doubt(row, error="reset", next_at=5.0) is S.INFLIGHT
        assert [due.notification_id for due in (await store.look(now=5.0, limit=9))[0]] == [
            "r1.confirmed"
        ]
        again = await store.claim("r1.confirmed", lease="b", until=35.0, now=5.0)
        assert again.redelivered == 1
        assert await store.pending() == 1


async def test_messages_are_newest_first_and_filtered(open_store):
    async with open_store() as store:
        for n in range(4):
            to = "ana" if n % 2 else "eva"
            await store.accept([(note(f"r{n}.confirmed", to), MAIL)], now=float(n))
        everything = await store.messages(recipient=None, notification_id=None, limit=3)
        anas = await store.messages(recipient="ana", notification_id=None, limit=9)
        one = await store.messages(recipient="eva", notification_id="r2.confirmed", limit=9)
    assert [row.notification_id[:2] for row in everything] == ["r3", "r2", "r1"]
    assert [row.notification_id[:2] for row in anas] == ["r3", "r1"]
    assert [row.notification_id[:2] for row in one] == ["r2"]


async def dead(store, ref: str = "r1.confirmed"):
    await accepted(store, ref)
    row = await store.claim(ref, lease="a", until=31.0, now=1.0)
    assert await store.dead(row, error="550 no such user", now=2.0) is S.DEAD


@pytest.mark.parametrize("plan", [None, "before", "after"])
async def test_a_dead_message_is_revived_once_and_for_the_corrected_address(
    open_store, query, plan
):
    """Also when nobody knows whether the commit took effect: the repetition is recognised as our own."""
    plans = iter([None, None, None, plan, plan])
    async with open_store(plan=lambda: next(plans, None)) as store:
        await dead(store)
        row, revived = await store.resend("r1.confirmed", recipient="ana@example.org", now=5.0)
        assert revived
        assert (row.state, row.recipient, row.next_at) == (S.ACCEPTED, "ana@example.org", 5.0)
        assert (row.last_error, row.attempts, row.redelivered) == (None, 1, 0)
        again, revived = await store.resend("r1.confirmed", recipient="eva@example.org", now=6.0)
        assert (again, revived) == (row, False)
        assert [due.notification_id for due in (await store.look(now=5.0, limit=9))[0]] == [
            "r1.confirmed"
        ]
    assert query("SELECT from_state, to_state FROM message_log WHERE event = 'resend'") == [
        ("DEAD", "ACCEPTED")
    ]


async def test_without_a_correction_the_address_stays(open_store):
    async with open_store() as store:
        await dead(store)
        row, _ = await store.resend("r1.confirmed", recipient=None, now=5.0)
    assert row.recipient == "ana@example.com"


async def test_what_does_not_exist_cannot_be_revived(open_store):
    async with open_store() as store:
        assert await store.resend("r9.confirmed", recipient=None, now=5.0) is None


async def test_the_dead_are_found_by_their_state_through_their_index(open_store, query):
    async with open_store() as store:
        for n in range(3):
            await dead(store, f"r{n}.confirmed")
        await accepted(store, "r9.confirmed", now=9.0)
        found = await store.messages(recipient=None, notification_id=None, limit=2, state=S.DEAD)
    assert [(row.notification_id[:2], row.last_error) for row in found] == [
        ("r2", "550 no such user"),
        ("r1", "550 no such user"),
    ]
    plan = query(
        "EXPLAIN QUERY PLAN SELECT * FROM message WHERE state = 'DEAD' ORDER BY created_at DESC"
    )
    assert "message_dead" in plan[0][-1]
