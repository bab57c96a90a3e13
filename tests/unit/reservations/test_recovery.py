"""The crash points of the saga: complete by its tables, and each of them really passed on some way of buying.

Here the exit only takes note and the process goes on, as if nobody had struck; what becomes of a real crash at each of
them is shown on real processes: tests/system/test_crash_points.py.
"""

import asyncio
from contextlib import suppress

import pytest

from gateway.domain import reservation_id_of, scope_of
from reservations.domain import ARROWS
from reservations.saga import STEPS
from tests.support.invariants import books
from tests.support.mesh import mesh
from tests.support.ways import POINTS, TROUBLE, way_to

KEY = "k" * 20
HOLD = reservation_id_of("laboratorio-sin-secretos", scope_of("ana"), KEY) + ".1"


def test_every_step_can_be_cut_around_its_call_and_every_arrow_after_its_commit():
    for step in STEPS.values():
        assert {f"{step.name}.before", f"{step.name}.called"} <= {*POINTS}
    for _, target in ARROWS:
        assert f"{target}.committed" in POINTS
    assert len(set(POINTS)) == len(POINTS)


@pytest.mark.parametrize("point", POINTS)
async def test_every_point_is_passed_on_its_way_and_the_runtime_ends_the_process(tmp_path, point):
    """What ends the process is an effect like any other: it belongs to the runtime, where a simulation takes it."""
    exits, way = [], way_to(point)
    async with mesh(tmp_path, exit_process=exits.append) as m:

        async def arm():
            order = {"enabled": True, "point": f"reservations.{point}"}
            await m.fault("reservations", "crash_at", **order)

        if way == "cancel":
            bought = (await m.reserve()).json()
            await arm()
            path = f"/api/reservations/{bought['reservation_id']}/cancel"
            await m["gateway"].post(path, headers={"x-manage-token": bought["manage_token"]})
        else:
            await _buy(m, way, arm)
        await asyncio.sleep(10)
        await m.calm()
        await asyncio.sleep(50)
        assert exits == [137]
        assert books(tmp_path).violations == []


async def _buy(m, way, arm):
    if way in TROUBLE:
        service, fault, order = TROUBLE[way]
        await m.fault(service, fault, **{"enabled": True, **order})
    await arm()
    buying = asyncio.create_task(
        m.reserve(headers={"idempotency-key": KEY}, **({"price": 1} if way == "refused" else {}))
    )
    if way == "hold_gone":  # the hold ends while its payment is under way
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(buying), 0.5)
        await m["inventory"].post("/release", json={"hold_id": HOLD})
    await buying
