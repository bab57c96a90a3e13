"""The gateway's one background loop: sampling the mesh for the live stream, only while somebody watches."""

from chassis.loops import Loop
from gateway.usecases import Gateway, sample


def sampling(gateway: Gateway, period_s: float) -> Loop:
    """Every `period_s` seconds one sample, published to all listeners."""

    async def step() -> None:
        if gateway.live.is_watched:
            gateway.live.publish(await sample(gateway))

    return Loop("live-sample", step, period_s=period_s)
