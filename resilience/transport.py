"""ResilientTransport: a Policy around every request of an `httpx.AsyncClient`.

What an HTTP exchange means is decided here and nowhere else:

| answer | meaning |
|---|---|
| `X-Outcome: final` | decided; returned as it is, a success for breaker and limit, never retried |
| `X-Shed: 1` | nothing was done; always retryable, never a breaker failure |
| 504 with `X-Deadline-Expired` | too late, nothing was done; never retried or counted |
| other 500, 502, 503, 504 | failed, outcome unknown; retried if the request may be repeated |
| anything else | a success, 4xx included |

A request may be repeated if its method is safe or it has an `Idempotency-Key`. `Retry-After` is
honoured. When tries run out on an answer, that answer is returned, not an exception.

A 429 that is not final is a success for the breaker, but the balancer prefers another host.

The body is read inside the attempt, so that a dripping body is cut too. Hence no streaming: for
server-sent events and large downloads use another transport.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self

import httpx

from resilience.deadline import deadline
from resilience.errors import FailedResponse, attach_request
from resilience.events import Emitter, Listener
from resilience.pipeline import Pipeline
from resilience.policy import Policy
from resilience.runtime import Runtime

HOP_MS: Final = 5
"""What one hop costs: the callee is told this much less than the caller has, milliseconds."""

_FAILED: Final = frozenset({500, 502, 503, 504})
_PORTS: Final = {"http": 80, "https": 443}


class ResilientTransport(httpx.AsyncBaseTransport):
    """Makes each request under a policy, with breaker, limit and quota per host and port.

    ```python
    http = httpx.AsyncClient(base_url="http://payments", transport=ResilientTransport(PAYMENTS))
    ```

    Under an ambient `deadline` each attempt sends `X-Deadline-Ms`, the milliseconds left minus
    `HOP_MS`.

    With `hosts` every request goes to one of these addresses instead of the one in its URL, chosen
    as `Policy.balance` says; breaker and limit are per address, quota and rate limit shared. Only
    scheme, host and port of the URL change: path, `Host` header and `response.request` keep the
    upstream's name.

    Args:
        policy: What to do; may be replaced while running (`policy`).
        inner: Does the sending; `httpx.AsyncHTTPTransport` by default. Closed with this transport.
        name: Put on events; by default the host and port.
        hosts: Addresses of one upstream, such as `http://10.0.0.7:5002`, without paths. Empty: the
            one in the URL.
        runtime: Time and chance; the real ones by default.
        on_event: Listeners, see `events.py`.

    Raises (from requests):
        Rejected: Breaker open, limit full or rate limit reached; nothing was sent.
        DeadlineExceeded: The ambient deadline passed; `sent` says whether the outcome is unknown.
        AttemptTimeout: The last try took too long; the outcome is unknown.
        httpx.TransportError: The last try's error. All of these carry the request.

    Raises (from the constructor):
        ValueError: An address is not a bare http or https origin, or is given twice.
    """

    def __init__(
        self,
        policy: Policy,
        inner: httpx.AsyncBaseTransport | None = None,
        *,
        name: str = "",
        hosts: Sequence[str] = (),
        runtime: Runtime | None = None,
        on_event: Sequence[Listener] = (),
    ) -> None:
        self._policy = policy
        self._inner = httpx.AsyncHTTPTransport() if inner is None else inner
        self._name = name
        self._runtime = runtime or Runtime.real()
        self._listeners = tuple(on_event)
        self._origins = _origins(hosts)
        # One pipeline per host and port, made when first called; only `policy` replaces them.
        self._pipelines: dict[str, Pipeline] = {}

    @property
    def policy(self) -> Policy:
        """The policy of new calls. Setting it keeps the state of every part that stays the same."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self._policy = policy
        for host, pipeline in self._pipelines.items():
            self._pipelines[host] = pipeline.rebound(policy)
            self._emitter(host).emit("policy_replaced")

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """`Pipeline.snapshot` by "host:port" of the URL."""
        return {host: pipeline.snapshot() for host, pipeline in self._pipelines.items()}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request under the policy and return its answer, body read."""
        pipeline = self._pipeline(request.url)
        policy = pipeline.policy
        if policy.retry is not None or policy.hedge is not None or self._origins:
            await request.aread()  # a streamed body could be sent only once
        exchange = _Exchange(self._inner, request, self._runtime.clock, self._origins)
        try:
            return await pipeline.call(exchange)
        except FailedResponse as failed:
            return failed.response
        except httpx.RequestError as exc:
            attach_request(exc, exchange)
            raise

    async def aclose(self) -> None:
        """Close the inner transport."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._inner.__aexit__(exc_type, exc_value, traceback)

    def _pipeline(self, url: httpx.URL) -> Pipeline:
        host = _name_of(url)
        pipeline = self._pipelines.get(host)
        if pipeline is None:
            pipeline = Pipeline(
                self._policy, self._runtime, self._emitter(host), addresses=tuple(self._origins)
            )
            self._pipelines[host] = pipeline
        return pipeline

    def _emitter(self, host: str) -> Emitter:
        return Emitter(self._name or host, self._listeners, self._runtime, {"host": host})


class _Exchange:
    """One request, ready to be sent once per attempt. It is a `balance.Routed`."""

    __slots__ = ("_clock", "_inner", "_origins", "request", "tried")

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        request: httpx.Request,
        clock: Callable[[], float],
        origins: Mapping[str, httpx.URL],
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._origins = origins
        self.request = request
        self.tried: list[str] = []

    def at(self, address: str) -> "_Exchange":
        """The same request to one of the addresses."""
        request, origin = self.request, self._origins[address]
        there = httpx.Request(
            request.method,
            request.url.copy_with(scheme=origin.scheme, host=origin.host, port=origin.port),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return _Exchange(self._inner, there, self._clock, self._origins)

    def is_refusal(self, result: httpx.Response) -> bool:
        """Whether the answer, a success otherwise, says that there is too much to do there."""
        return result.status_code == 429 and result.headers.get("X-Outcome") != "final"

    async def __call__(self) -> httpx.Response:
        request = self.request
        left_s = deadline.remaining_s()
        if left_s is not None:  # the attempt timeout around us has refused what is already too late
            request.headers["X-Deadline-Ms"] = str(max(1, int(left_s * 1000) - HOP_MS))
        began_s = self._clock()
        response = await self._inner.handle_async_request(request)
        try:
            await response.aread()
        except BaseException:
            await response.aclose()
            raise
        # httpx sets this when it closes the stream, and ours is closed already.
        response.elapsed = timedelta(seconds=self._clock() - began_s)
        if response.status_code >= 400:
            _judge(response, request)
        return response


def _origins(hosts: Sequence[str]) -> dict[str, httpx.URL]:
    """The addresses by "host:port", which is what events and snapshots call them."""
    origins: dict[str, httpx.URL] = {}
    for host in hosts:
        try:
            url = httpx.URL(host)
        except httpx.InvalidURL as exc:
            raise ValueError(f"not an http or https origin: {host!r}") from exc
        if url.scheme not in _PORTS or not url.host or url.raw_path != b"/" or url.userinfo:
            raise ValueError(f"not an http or https origin: {host!r}")
        if origins.setdefault(_name_of(url), url) is not url:
            raise ValueError(f"given twice: {host!r}")
    return origins


def _name_of(url: httpx.URL) -> str:
    return f"{url.host}:{url.port or _PORTS.get(url.scheme, 0)}"


def _judge(response: httpx.Response, request: httpx.Request) -> None:
    """Raise FailedResponse unless the answer is a decision."""
    headers = response.headers
    if headers.get("X-Outcome") == "final":
        return
    shed = headers.get("X-Shed") == "1"
    expired = response.status_code == 504 and "X-Deadline-Expired" in headers
    if shed or expired or response.status_code in _FAILED:
        raise FailedResponse(
            response,
            request=request,
            shed=shed and not expired,
            expired=expired,
            retry_after_s=_retry_after_s(headers),
        )


def _retry_after_s(headers: httpx.Headers) -> float | None:
    """Seconds from Retry-After (RFC 9110, 10.2.3); dates are read against the answer's own."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        then = parsedate_to_datetime(value)
        now = parsedate_to_datetime(headers.get("Date", ""))
        return max(0.0, (then - now).total_seconds())
    except (ValueError, TypeError):
        return None
