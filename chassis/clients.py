"""The one factory for outbound calls: an upstream is one connection pool, an edge is one policy over it.

An answer becomes exactly one of four things, and only these:

- the JSON of a 2xx answer;
- `Refused`: the callee decided (4xx, or anything marked `X-Outcome: final`);
- `NotSent`: the callee provably did nothing (refused connection, open breaker, shed, expired, our credentials refused);
- `InDoubt`: nobody here knows (time-out, reset, unmarked 5xx, nonsense). Never "failed".

Each service's `clients.py` maps known codes to its own errors, so that one vocabulary never leaks into another.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from json import JSONEncoder
from typing import Any, Final

import httpx
import structlog
from pydantic_core import from_json

from chassis.catalogue import language
from chassis.credentials import Credentials
from chassis.requests import request_id
from chassis.runtime import Runtime
from chassis.telemetry import Metrics
from chassis.traffic import Traffic
from resilience import Event, FailedResponse, Policy, ResilientTransport, never_sent

log = structlog.get_logger()

_encode: Final = JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

# Time-outs are the policy's; httpx's own would only blur which one struck.
_EXTENSIONS: Final = {"timeout": httpx.Timeout(None, pool=1.0).as_dict()}

_CLOSED_TO_US: Final = frozenset({(401, "unauthorized"), (403, "forbidden")})
"""What a guard says, before anything is done."""


class Refused(Exception):
    """The callee decided against it.

    Attributes:
        code: The callee's stable code, or `http_<status>` when it sent none.
        status: HTTP status.
        problem: The whole problem document.
        retry_after_s: Seconds, or None.
    """

    def __init__(
        self, status: int, problem: Mapping[str, Any], retry_after_s: float | None
    ) -> None:
        self.status = status
        self.code = str(problem.get("code", f"http_{status}"))
        self.problem = problem
        self.retry_after_s = retry_after_s
        super().__init__(f"{status} {self.code}")


class NotSent(Exception):
    """The call provably had no effect on the callee."""


class InDoubt(Exception):
    """No answer that decides anything: the call may or may not have taken effect.

    Attributes:
        timed_out: True when it was time that ran out, rather than a connection or an answer that broke.
    """

    def __init__(self, message: str, *, timed_out: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out


class Upstream:
    """One service that is called: its addresses and their connection pool.

    Args:
        name: The upstream's service name, as the runtime's transport factory knows it.
        base_url: Where it listens; several replicas separated by commas.
        runtime: The effects.
        metrics: Listens to the policies.
        listeners: Further ones.
        credentials: What the caller shows there, if anything.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        runtime: Runtime,
        metrics: Metrics,
        listeners: tuple[Callable[[Event], None], ...] = (),
        *,
        credentials: Credentials | None = None,
    ) -> None:
        self.name = name
        self._credentials = credentials
        self._addresses = [address.strip() for address in base_url.split(",")]
        self._runtime = runtime
        self._listeners = (metrics.on_policy_event, *runtime.tracing.listeners, *listeners)
        self._pool = runtime.tracing.transport(runtime.http(name), name)
        self._traffic = metrics.attempts.traffic[name] = Traffic(runtime.mono)
        self.edges: list[Edge] = []
        # Those of `edges` whose calls are the service's own work.
        self._working: list[Edge] = []

    def edge(
        self, name: str, policy: Policy, *, works: bool = True, says_who: bool = True
    ) -> "Edge":
        """A way to call this upstream under `policy`; edges share the pool and nothing else.

        Args:
            name: Its name below the upstream's.
            policy: What it does.
            works: Whether its calls are the service's own work and show in `traffic`; those of who only looks do not.
            says_who: Whether its calls show who calls; those that are passed on for somebody else must not.
        """
        traffic = self._traffic if works else Traffic(self._runtime.mono)
        transport = ResilientTransport(
            policy,
            self._pool,
            name=f"{self.name}.{name}",
            hosts=self._addresses if len(self._addresses) > 1 else (),
            runtime=self._runtime.resilience,
            on_event=(*self._listeners, traffic.on_event),
        )
        bearer = None
        if says_who and self._credentials is not None:
            bearer = partial(self._credentials.bearer, self.name)
        edge = Edge(f"{self.name}.{name}", self._addresses[0], transport, traffic, bearer)
        self.edges.append(edge)
        if works:
            self._working.append(edge)
        return edge

    def traffic(self) -> dict[str, Any] | None:
        """What goes to this upstream, as `Traffic.picture` says it; None where nothing ever does."""
        if not self._working:
            return None
        return self._traffic.picture(
            {edge.name: edge.snapshot() for edge in self._working},
            has_breaker=any(edge.has_breaker for edge in self._working),
        )

    async def aclose(self) -> None:
        """Close the pool."""
        await self._pool.aclose()


class Edge:
    """Typed calls to one upstream under one policy.

    Straight to the transport: no cookies, no redirects, no authentication but the caller's own token.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        transport: ResilientTransport,
        traffic: Traffic,
        bearer: Callable[[], str | None] | None,
    ) -> None:
        self.name = name
        self._bearer = bearer
        self._transport = transport
        self._traffic = traffic
        self._base_url = base_url
        _address(base_url, "/")  # one that makes no sense shows at the start

    @property
    def has_breaker(self) -> bool:
        """Whether its policy has one."""
        return self._transport.policy.breaker is not None

    def snapshot(self) -> dict[str, Any]:
        """Live state of the policy, by host."""
        return self._transport.snapshot()

    async def post(
        self,
        path: str,
        body: object,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """POST `body`; `key` says that repeating it is safe and goes out as `Idempotency-Key`.

        Raises:
            Refused, NotSent, InDoubt: See the module.
        """
        sent = {"idempotency-key": key} if key else {}
        return await self.call("POST", path, json=body, headers={**sent, **(headers or {})})

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """GET a JSON object.

        Raises:
            Refused, NotSent, InDoubt: See the module.
        """
        return await self.call("GET", path, headers=headers or {})

    async def call(
        self, method: str, path: str, *, headers: Mapping[str, str], json: object = None
    ) -> dict[str, Any]:
        """Any request that answers a JSON object.

        Raises:
            Refused, NotSent, InDoubt: See the module.
        """
        return self._meaning(await self.send(method, path, headers=headers, json=json))

    async def send(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        json: object = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Any request, its answer unjudged: for relays and probes.

        Raises:
            NotSent, InDoubt: There was no answer.
        """
        url, host = _address(self._base_url, path)
        sent = {
            "host": host,
            "x-request-id": request_id.get(),
            "accept-language": language.get(),
            **headers,
        }
        if self._bearer is not None and "authorization" not in sent:
            shown = self._bearer()
            if shown is not None:
                sent["authorization"] = shown
        body = content or b""
        if json is not None:
            body = _encode(json).encode()
            sent.setdefault("content-type", "application/json")
        if body or method in ("POST", "PUT", "PATCH"):
            sent["content-length"] = str(len(body))
        # With a stream, httpx adds no headers of its own, which would cost more than all the rest here.
        request = httpx.Request(
            method, url, headers=sent, stream=httpx.ByteStream(body), extensions=_EXTENSIONS
        )
        request.read()
        traffic = self._traffic
        began_s = traffic.began()
        try:
            response = await self._transport.handle_async_request(request)  # its body is read
        except httpx.HTTPError as error:
            traffic.ended(began_s, well=False)
            if never_sent(error):
                raise NotSent(f"{self.name}: {error!r}") from error
            timed_out = isinstance(error, httpx.TimeoutException)
            raise InDoubt(f"{self.name}: {error!r}", timed_out=timed_out) from error
        except BaseException:
            traffic.left()
            raise
        traffic.ended(began_s, well=response.status_code < 500 or _is_final(response))
        return response

    def _meaning(self, response: httpx.Response) -> dict[str, Any]:
        body = _json_object(response)
        if response.is_success and body is not None:
            return body
        if (response.status_code, (body or {}).get("code")) in _CLOSED_TO_US:
            log.error("call_refused", edge=self.name, status=response.status_code)
            raise NotSent(f"{self.name}: answered {response.status_code}, to our credentials")
        if response.is_client_error or _is_final(response):
            raise Refused(response.status_code, body or {}, _retry_after_s(response))
        marks = FailedResponse(
            response,
            shed=response.headers.get("x-shed") == "1",
            expired="x-deadline-expired" in response.headers,
        )
        kind = NotSent if never_sent(marks) else InDoubt
        raise kind(f"{self.name}: answered {response.status_code}")


@lru_cache(maxsize=1024)
def _address(base_url: str, path: str) -> tuple[httpx.URL, str]:
    """`path` below `base_url`, whatever else `path` may look like, and what `Host` says of it."""
    base = httpx.URL(base_url)
    below = httpx.URL(path).raw_path.lstrip(b"/")
    url = base.copy_with(raw_path=base.raw_path.rstrip(b"/") + b"/" + below)
    return url, url.netloc.decode()


def _is_final(response: httpx.Response) -> bool:
    return bool(response.headers.get("x-outcome") == "final")


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        found = from_json(response.content, allow_inf_nan=False)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _retry_after_s(response: httpx.Response) -> float | None:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdigit() else None
