"""What happens to a mesh in the controls: nothing that the services are not built for."""

import asyncio
import sqlite3
from contextlib import closing

from tests.controls.world import World


def stored(w: World, sql: str) -> list:
    with closing(sqlite3.connect(f"file:{w.data / 'reservations.db'}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()


async def two_buyers(w: World) -> None:
    """Two buyers at the same instant, each for the best seat."""
    await asyncio.gather(w.buy("k" * 20, "ana"), w.buy("q" * 20, "berta"))


async def slow_payment(w: World) -> str:
    """The payment times out; its late self arrives when all is undone. Returns the attempt's reference."""
    await w.fault("payments", "latency", seconds=5)
    told = await w.buy()
    assert told.json()["code"] == "payment_timeout"
    await w.fault("payments", "latency", seconds=0)
    await asyncio.sleep(6)
    return f"{told.json()['reservation_id']}.1"


async def a_late_second_release(w: World) -> None:
    """A's seat was freed and sold to B; then A's release arrives once more."""
    ref = await slow_payment(w)
    assert (await w.buy("q" * 20, "berta")).status_code == 200
    await w.post("inventory", "/release", {"hold_id": ref})


async def a_late_hold(w: World) -> None:
    """Inventory is so slow that the holds arrive when their saga has been undone."""
    await w.fault("inventory", "latency", seconds=3, route="/reserve")
    assert (await w.buy()).json()["code"] == "inventory_unavailable"
    await w.fault("inventory", "latency", seconds=0)


async def a_late_hold_and_a_stale_confirm(w: World) -> None:
    """A duplicate of the hold takes the seat again; then a confirm with the first hold's token arrives."""
    ref = await slow_payment(w)
    ((token,),) = stored(w, "SELECT hold_token FROM reservation")
    body = {"hold_id": ref, "event_id": "concert-01", "quantity": 1}
    await w.post("inventory", "/reserve", body)
    await w.post("inventory", "/confirm", {"hold_id": ref, "token": token})


async def one_key_by_two_gateways(w: World) -> None:
    """A second gateway with another secret names the same key's reservation differently."""
    await w.buy()
    w.kill("gateway")
    await w.start("gateway", id_secret="another secret entirely")
    await w.buy()


async def dies_once_confirmed(w: World) -> None:
    """Reservations dies when CONFIRMED is committed, before anything else; it comes back."""
    point = "reservations.CONFIRMED.committed"
    await w.fault("reservations", "crash_at", enabled=True, point=point)
    told = await w.buy()
    assert told.status_code == 202
    assert not w.machines["reservations"].alive
    await w.start("reservations")


async def a_hold_that_nobody_wants(w: World) -> None:
    """A client of inventory's holds a seat and goes away."""
    body = {"hold_id": "stray.1", "event_id": "concert-01", "quantity": 1}
    assert (await w.post("inventory", "/reserve", body)).status_code == 200


async def dies_once_acknowledged(w: World) -> None:
    """Reservations dies when the buyer has read "confirmed"; it comes back."""
    assert (await w.buy()).status_code == 200
    w.kill("reservations")
    await w.start("reservations")


async def dies_once_captured(w: World) -> None:
    """The provider has the money, payments dies before it knows, and the buyer cancels meanwhile."""
    point = "payments.provider.CAPTURE_PENDING.called"
    await w.fault("payments", "crash_at", enabled=True, point=point)
    bought = await w.buy()
    await w.until_dead("payments")
    assert (await w.give_back(bought)).status_code == 202
    await w.start("payments")


async def declined_and_tried_again(w: World) -> None:
    """Declined, for good; then the same key comes once more, when cards are taken again."""
    await w.fault("payments", "fail")
    assert (await w.buy()).status_code == 402
    await w.fault("payments", "fail", enabled=False)
    await asyncio.sleep(20)
    await w.buy()


async def the_answer_is_lost(w: World) -> None:
    await w.fault("reservations", "lost_reply")
    await w.buy()
    await w.fault("reservations", "lost_reply", enabled=False)


async def a_late_hold_of_a_refused(w: World) -> None:
    """B heard sold out; A gives the seat back; then B's hold arrives once more."""
    await w.post("inventory", "/admin/reset", {"event_id": "concert-01", "seats": 1})
    bought = await w.buy("k" * 20, "ana")
    told = await w.buy("q" * 20, "berta")
    assert told.json()["code"] == "sold_out"
    assert (await w.give_back(bought)).json()["status"] == "refunded"
    ref = f"{told.json()['reservation_id']}.1"
    await w.post("inventory", "/reserve", {"hold_id": ref, "event_id": "concert-01", "quantity": 1})


async def cancelled_while_captured(w: World) -> None:
    """Every action of the provider's takes a second: the cancellation comes in the middle of the capture."""
    bought = await w.buy()
    await asyncio.sleep(0.6)
    await w.give_back(bought)


async def callers_go_away(w: World) -> None:
    """Again and again the first of several callers is cut off while the others wait for a commit."""
    transport = w.started["reservations"]
    for turn in range(1, 13):
        before = set(transport._running)
        buys = [
            asyncio.create_task(w.buy(f"purchase-{turn:04}-{number:04}", event_id="festival-01"))
            for number in range(6)
        ]
        await asyncio.sleep(0.0001 * turn)
        arrived = transport._running - before
        if arrived:  # else they hang already, and nobody gets in any more
            min(arrived, key=lambda task: int(task.get_name().rpartition("-")[2])).cancel()
        await asyncio.wait(buys)
        await asyncio.sleep(5)  # the gateway's breaker closes again


async def a_flood(w: World) -> None:
    """More buyers at once than the gateway takes."""
    buys = [w.buy(f"purchase-in-a-flood-{number}", f"buyer-{number}") for number in range(8)]
    told = await asyncio.gather(*buys)
    assert any(answer.status_code == 429 for answer in told)


async def sold_out_with_seats_left(w: World) -> None:
    await w.count()
    await w.buy()
    await w.count()
