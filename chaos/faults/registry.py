"""The faults there are (`FAULTS`) and the ones that are on in this process (`Faults`).

Adding a fault is one file beside this one and one entry in `FAULTS`; the control API, the CLI and
the page read the tuple. Nothing survives a restart: a process comes back healthy.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, Literal

from chaos.faults import (
    crash,
    crash_at,
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
    crash_at.FAULT,
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


class PointNotFound(LookupError):
    """This fault has no point of that name in this service."""

    def __init__(self, point: str) -> None:
        super().__init__(point)
        self.point = point


@dataclass(frozen=True, slots=True)
class FaultState:
    """One fault of this service as it stands; `active` is None while it is off.

    Attributes:
        left_s: Seconds until it switches itself off, 0 while it is off.
        points: Places at which it can strike; empty unless it is `crash_at`.
    """

    fault: Fault
    active: Active | None
    left_s: float
    points: tuple[str, ...] = ()


class Faults:
    """The live switches of one service. One per app, used from its event loop only.

    A fault whose time is over is off by itself: nobody has to clear it.

    Args:
        runtime: Clock, sleep and random of the service.
        service: Name of the service, which decides the switches offered.
        default_route: Path prefix by fault name where none is given; without an entry a fault
            strikes every path.
        points: Places where the service calls `reach`, without its own name in front; those around
            its group commits are added.
        exit_process: Ends the process at once, with an exit code; tests and simulations replace it.
    """

    def __init__(
        self,
        runtime: Runtime,
        service: str,
        default_route: Mapping[str, str] = _NO_ROUTES,
        *,
        points: Sequence[str] = (),
        exit_process: Callable[[int], object] = os._exit,
    ) -> None:
        self.runtime = runtime
        self.service = service
        self.points = tuple(f"{service}.{point}" for point in (*crash_at.BATCH, *points))
        self._exit_process = exit_process
        self._batch = tuple(f"{service}.{point}" for point in crash_at.BATCH)
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
        point: str | None = None,
    ) -> FaultState:
        """Switch `name` on, or change it; what is not given takes the fault's default.

        Raises:
            FaultNotFound: This service does not offer it.
            PointNotFound: `crash_at` has no such point here, or another fault was given one.
        """
        fault = self.find(name)
        if point is not None and point not in (crash_at.ANY, *self._points_of(name)):
            raise PointNotFound(point)
        self._active[name] = Active(
            seconds=(fault.default_seconds or 0.0) if seconds is None else seconds,
            probability=fault.default_probability if probability is None else probability,
            route=route or self._default_route.get(name, "*"),
            until=self.runtime.clock() + min(ttl_s, MAX_TTL_S),
            point=point or crash_at.ANY,
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
        return FaultState(self.find(name), active, left_s, self._points_of(name))

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

    def reach(self, *words: str) -> None:
        """Say that the point named by `words` is reached: the process may end here.

        Costs one look-up while `crash_at` is off. Safe on the database thread: nothing is changed but the switch.
        """
        if "crash_at" in self._active:
            self._reach(".".join((self.service, *words)))

    def _reach(self, point: str) -> None:
        active = self.active("crash_at")
        if active is None or active.point not in (crash_at.ANY, point):
            return
        if self._strikes(active):
            self._active.pop("crash_at", None)
            self._exit_process(crash_at.EXIT_CODE)

    def _points_of(self, name: str) -> tuple[str, ...]:
        return self.points if name == crash_at.FAULT.name else ()

    def store_plan(self) -> Literal["before", "after"] | Callable[[], None] | None:
        """What shall happen to the next commit: fail before it, fail after it, call this after it, or nothing.

        "after" means that the commit took effect and its caller is told that it failed.
        """
        if "crash_at" in self._active:
            before, after = self._batch
            self._reach(before)
            return partial(self._reach, after)
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
