"""A connection reset while it was being opened became a 500: anyio raised AttributeError, and nobody mapped it.

Found by killing reservations at `authorize.called`: the gateway's re-send met the dying process.
"""

import httpx
import pytest

from chassis import runtime
from chassis.clients import InDoubt, Upstream
from chassis.telemetry import Metrics
from resilience import Policy


class Broken:
    """Stands where httpx keeps its pool of connections."""

    async def handle_async_request(self, request):
        raise AttributeError("'NoneType' object has no attribute 'getpeername'")

    async def aclose(self):
        return


async def test_whatever_breaks_below_httpx_is_silence_and_no_bug():
    real = runtime.real("httpx")
    wire = real.http("reservations")
    await wire.aclose()
    wire._pool = Broken()
    with pytest.raises(httpx.ReadError, match="getpeername"):
        await wire.handle_async_request(httpx.Request("POST", "http://reservations/reserve"))
    upstream = Upstream("reservations", "http://reservations", real, Metrics())
    await upstream._pool.aclose()
    upstream._pool._pool = Broken()
    with pytest.raises(InDoubt):
        await upstream.edge("reserve", Policy()).post("/reserve", {})
    await upstream.aclose()
