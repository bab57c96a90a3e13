"""The gateway's one background loop: sampling the mesh for the live stream, only while somebody watches."""

from chassis.loops import Loop
from gateway.usecases import Gateway, sample


def sampling(gateway: Gateway, period_s: float) -> Loop:
    """Every `period_s` seconds one sample, published to all listeners; without any, it waits for `wake`."""

    async def step() -> None:
        loop.period_s = period_s if gateway.live.is_watched else None
        if gateway.live.is_watched:
            gateway.live.publish(await sample(gateway))

    loop = Loop("live-sample", step, period_s=period_s)
    return loop
