"""A re-send that reservations could not store was told to the buyer as a refusal, while the first send was confirmed.

Found by the kill matrix: reservations was killed past the pivot, came back with a flapping database, and the gateway's
re-send got 503 `storage_unavailable`, which says that no seat stays.
"""

import asyncio

from tests.support.invariants import books
from tests.support.mesh import mesh


async def test_a_resend_that_could_not_be_stored_is_no_refusal_of_the_first_send(tmp_path):
    async with mesh(tmp_path) as m:
        await m.fault("notifications", "latency", seconds=0.4)
        await m.fault("reservations", "lost_reply", enabled=True, route="/reserve")
        buying = asyncio.create_task(m.reserve())
        await asyncio.sleep(
            0.2
        )  # confirmed; the notice is on its way, and then the answer will be lost
        await m.fault("reservations", "lost_reply", enabled=False)
        await m.fault("reservations", "db_flap", enabled=True, probability=1.0)
        answer = await buying
        assert (answer.status_code, answer.json()["status"]) == (202, "pending"), answer.text
        await m.calm()
        await asyncio.sleep(60)
        found = books(tmp_path)
        assert found.violations == []
        assert len(found.confirmed) == 1
