"""The faults there are (`FAULTS`) and the ones that are on in this process (`Faults`).

Adding a fault is one file beside this one and one entry in `FAULTS`; the control API, the CLI and
the page read the tuple. Nothing survives a restart: a process comes back healthy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from chaos.faults import (
    crash,
    db_flap,
    down,
    duplicate,
    error,
    fail,
    hang,
    latency,
    lost_reply,
    reset,
    slow_body,
)
from chaos.faults.base import DEFAULT_TTL_S, MAX_TTL_S, Active, Fault, is_under
from resilience import Runtime

FAULTS: Final[tuple[Fault, ...]] = (
    latency.FAULT,
    hang.FAULT,
    crash.FAULT,
    down.FAULT,
    error.FAULT,
    reset.FAULT,
    lost_reply.FAULT,
    duplicate.FAULT,
    slow_body.FAULT,
    db_flap.FAULT,
    fail.FAULT,
)
"""Every fault. Where several strike one request, the earlier one goes around the later."""

UNTOUCHABLE: Final = ("/chaos", "/healthz", "/metrics", "/api/lab")
"""Paths that no fault strikes: the way back must stay open."""

_NO_ROUTES: Final[Mapping[str, str]] = MappingProxyType({})


class FaultNotFound(LookupError):
    """This service has no switch of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True, slots=True)
class FaultState:
    """One fault of this service as it stands; `active` is None while it is off.

    Attributes:
        left_s: Seconds until it switches itself off, 0 while it is off.
    """

    fault: Fault
    active: Active | None
    left_s: float


class Faults:
    """The live switches of one service. One per app, used from its event loop only.

    A fault whose time is over is off by itself: nobody has to clear it.

    Args:
        runtime: Clock, sleep and random of the service.
        service: Name of the service, which decides the switches offered.
        default_route: Path prefix by fault name where none is given; without an entry a fault
            strikes every path.
    """

    def __init__(
        self, runtime: Runtime, service: str, default_route: Mapping[str, str] = _NO_ROUTES
    ) -> None:
        self.runtime = runtime
        self.service = service
        self._default_route = dict(default_route)
        self._offered = {fault.name: fault for fault in FAULTS if fault.is_offered_by(service)}
        # Switched on and perhaps already over; changed by the methods below only.
        self._active: dict[str, Active] = {}

    def find(self, name: str) -> Fault:
        """The fault called `name`.

        Raises:
            FaultNotFound: This service does not offer it.
        """
        if name not in self._offered:
            raise FaultNotFound(name)
        return self._offered[name]

    def switch_on(
        self,
        name: str,
        *,
        seconds: float | None = None,
        probability: float | None = None,
        ttl_s: float = DEFAULT_TTL_S,
        route: str | None = None,
    ) -> FaultState:
        """Switch `name` on, or change it; what is not given takes the fault's default.

        Raises:
            FaultNotFound: This service does not offer it.
        """
        fault = self.find(name)
        self._active[name] = Active(
            seconds=(fault.default_seconds or 0.0) if seconds is None else seconds,
            probability=fault.default_probability if probability is None else probability,
            route=route or self._default_route.get(name, "*"),
            until=self.runtime.clock() + min(ttl_s, MAX_TTL_S),
        )
        return self.state(name)

    def switch_off(self, name: str) -> FaultState:
        """Switch `name` off; already off is fine.

        Raises:
            FaultNotFound: This service does not offer it.
        """
        self.find(name)
        self._active.pop(name, None)
        return self.state(name)

    def reset(self) -> None:
        """Switch everything off."""
        self._active.clear()

    def active(self, name: str) -> Active | None:
        """The parameters of `name` while it is on."""
        found = self._active.get(name)
        if found is not None and self.runtime.clock() >= found.until:
            del self._active[name]
            return None
        return found

    def state(self, name: str) -> FaultState:
        """`name` as it stands.

        Raises:
            FaultNotFound: This service does not offer it.
        """
        active = self.active(name)
        left_s = 0.0 if active is None else active.until - self.runtime.clock()
        return FaultState(self.find(name), active, left_s)

    def states(self) -> Sequence[FaultState]:
        """Every fault of this service, in the order of `FAULTS`."""
        return [self.state(name) for name in self._offered]

    def striking(self, path: str) -> Sequence[tuple[Fault, Active]]:
        """The faults that strike this one request, outermost first; each call draws lots."""
        if not self._active or any(is_under(path, safe) for safe in UNTOUCHABLE):
            return ()
        return [
            (fault, active)
            for fault in self._offered.values()
            if fault.effect is not None
            and (active := self.active(fault.name)) is not None
            and active.covers(path)
            and self._strikes(active)
        ]

    def store_plan(self) -> Literal["before", "after"] | None:
        """What shall happen to the next commit: fail before it, fail after it, or nothing.

        "after" means that the commit took effect and its caller is told that it failed.
        """
        active = self.active("db_flap")
        if active is None or not self._strikes(active):
            return None
        return "before" if self.runtime.random() < 0.5 else "after"

    def declines(self) -> bool:
        """Whether the provider shall decline the authorization about to be decided."""
        active = self.active("fail")
        return active is not None and self._strikes(active)

    def _strikes(self, active: Active) -> bool:
        return active.probability >= 1.0 or self.runtime.random() < active.probability
