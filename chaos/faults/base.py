"""What a fault is: a name, a summary, defaults, and at most one effect on a request.

One file per fault; `registry.FAULTS` lists them. A fault without an effect changes no request by
itself: the service asks for it at the place where it hurts (`Faults.store_plan`,
`Faults.declines`).

Not here: which faults are on (`registry`), who may switch them (`control`), how they reach requests
(`middleware`).
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from resilience import Runtime

DEFAULT_TTL_S = 300.0
MAX_TTL_S = 3600.0
MAX_SECONDS_S = 3600.0


@dataclass(frozen=True, slots=True)
class Active:
    """A fault that is switched on.

    Attributes:
        seconds: The fault's own length, seconds (0 for faults that have none).
        probability: Share of requests (or commits) that it strikes, 0 to 1.
        route: Path prefix that it strikes; "*" is every path.
        until: When it switches itself off, on the runtime's monotonic clock.
        point: Place at which `crash_at` strikes; "*" for the others and for whichever comes next.
    """

    seconds: float
    probability: float
    route: str
    until: float
    point: str = "*"

    def covers(self, path: str) -> bool:
        """Whether a request for `path` may be struck."""
        return self.route == "*" or is_under(path, self.route)


@dataclass(frozen=True, slots=True)
class Injection:
    """One request about to be struck: the ASGI triple, what to run, the fault's parameters.

    Attributes:
        app: The application, or the next fault around it.
        still_on: Whether the fault is on at this moment, for effects that wait.
    """

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    active: Active
    runtime: Runtime
    still_on: Callable[[], bool]

    async def proceed(self) -> None:
        """Run the application untouched."""
        await self.app(self.scope, self.receive, self.send)


Effect = Callable[[Injection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to break a service.

    Attributes:
        name: Lower-case word of the control API and the CLI.
        summary_es: What callers see, Spanish, one sentence.
        summary_en: The same in English.
        effect: What it does to one request; None when the service asks for it instead.
        default_seconds: Length when none is given; None for faults that have no length.
        default_probability: Share struck when none is given, 0 to 1.
        services: Services that offer it; empty means every service.
    """

    name: str
    summary_es: str
    summary_en: str
    effect: Effect | None = None
    default_seconds: float | None = None
    default_probability: float = 1.0
    services: tuple[str, ...] = ()

    def is_offered_by(self, service: str) -> bool:
        """Whether `service` has this switch."""
        return not self.services or service in self.services


def is_under(path: str, prefix: str) -> bool:
    """Whether `path` is `prefix` or below it, by whole segments: /pay covers /pay/x only."""
    bare = prefix.rstrip("/")
    return path == bare or path.startswith(bare + "/")


async def answer_problem(injection: Injection, status: int, code: str, title: str) -> None:
    """Answer as a broken service would.

    A problem document that nobody decided, so without `X-Outcome`, `X-Shed` or `Retry-After`.
    """
    path = injection.scope["path"]
    body = json.dumps(
        {
            "type": f"/problems/{code}",
            "code": code,
            "title": title,
            "status": status,
            "instance": path,
        }
    ).encode()
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await injection.send({"type": "http.response.start", "status": status, "headers": headers})
    await injection.send({"type": "http.response.body", "body": body})
