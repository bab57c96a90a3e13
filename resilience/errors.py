"""Every error this library raises, and what an error says about the callee.

    ResilienceError
    ├── Rejected          + httpx.TransportError      refused here, nothing was sent
    │   ├── BreakerOpen                               the callee keeps failing
    │   ├── LimitFull                                 too many calls in flight
    │   └── Throttled                                 too many calls per second
    ├── DeadlineExceeded  + httpx.TimeoutException    the caller's ambient deadline is gone
    ├── AttemptTimeout    + httpx.TimeoutException    one try took longer than the policy gives it
    └── FailedResponse                                internal carrier, see below

Those that leave a call are httpx errors too, so an existing `except httpx.TransportError` keeps
working. They never derive from an httpx leaf such as `ConnectError`: handlers for leaves mean
something more precise than we can promise.

The predicates below are the only place that judges an outcome; retry, breaker and limit all ask
here.
"""

import httpx

SAFE_METHODS = frozenset({"GET", "HEAD", "PUT", "DELETE"})
"""Methods that may be repeated after an unknown outcome (RFC 9110, 9.2.2)."""


class ResilienceError(Exception):
    """Root of this library's errors.

    Attributes:
        retry_after_s: Seconds after which another call makes sense; None when nothing is known.
    """

    retry_after_s: float | None = None


class Rejected(ResilienceError, httpx.TransportError):
    """A policy refused the call here; nothing was sent, and the callee is not to blame.

    Attributes:
        reason: `open`, `full`, `throttled`, or another word of a later policy.
        retry_after_s: When another call makes sense, seconds; None when unknown.
    """

    def __init__(
        self, message: str, *, reason: str = "rejected", retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_s = retry_after_s


class BreakerOpen(Rejected):
    """The breaker is open, or its one probe is still out. `retry_after_s`: when a probe is due."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, reason="open", retry_after_s=retry_after_s)


class LimitFull(Rejected):
    """As many calls are in flight as the limit allows."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, reason="full", retry_after_s=retry_after_s)


class Throttled(Rejected):
    """More calls per second than the rate limit allows. `retry_after_s`: when one may go out."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message, reason="throttled", retry_after_s=retry_after_s)


class DeadlineExceeded(ResilienceError, httpx.TimeoutException):
    """The ambient deadline passed. Never retried, never the callee's failure.

    Attributes:
        sent: Whether the call may have reached the callee: then its outcome is unknown, not
            "failed".
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class AttemptTimeout(ResilienceError, httpx.TimeoutException):
    """One attempt took longer than `attempt_s`. Its outcome is unknown, not "failed"."""


class FailedResponse(ResilienceError):
    """Carries an answer that counts as a failed attempt between layers.

    `ResilientTransport` unwraps it to the plain response, so users of httpx never see it. Work
    under `Policy.call` may raise it to have an answer judged by the same rules.

    Attributes:
        response: The answer, body read.
        shed: The callee marked it `X-Shed: 1`: nothing was done.
        expired: The callee marked it `X-Deadline-Expired`: the work was too late and nothing was
            done.
        request: The request it answers.
    """

    def __init__(
        self,
        response: httpx.Response,
        *,
        request: httpx.Request | None = None,
        shed: bool = False,
        expired: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"answered {response.status_code}")
        self.response = response
        self.request = request
        self.shed = shed
        self.expired = expired
        self.retry_after_s = retry_after_s


def never_sent(exc: BaseException) -> bool:
    """Whether the callee provably did nothing: only then may anyone say "it did not happen".

    True for local rejections, refused or timed-out connections, a deadline that passed before
    sending, and answers marked as shed or expired. Everything else, time-outs included, is an
    unknown outcome.
    """
    match exc:
        case DeadlineExceeded():
            return not exc.sent
        case FailedResponse():
            return exc.shed or exc.expired
        case _:
            return isinstance(exc, _NEVER_SENT)


def is_timeout(exc: BaseException) -> bool:
    """Whether the failure is that time ran out, rather than an answer or a broken connection."""
    return isinstance(exc, httpx.TimeoutException | TimeoutError)


def is_transient(exc: Exception) -> bool:
    """Default of `Retry.on`: whether another attempt is safe and may help.

    What provably did nothing is always repeated, except local rejections: waiting out an open
    breaker or a full limit is the caller's decision. An unknown outcome is repeated only for
    `SAFE_METHODS` or with an `Idempotency-Key`. Work without a request (`Policy.call`) is repeated
    after OS and transport errors: giving it a `Retry` says it may be.
    """
    if isinstance(exc, Rejected | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    if not isinstance(exc, FailedResponse | httpx.TransportError | OSError):
        return False
    return never_sent(exc) or _may_repeat(_request_of(exc))


def is_final(exc: Exception) -> bool:
    """Whether no rule, not even a caller's own, may repeat the call: its time is gone."""
    return isinstance(exc, DeadlineExceeded) or (isinstance(exc, FailedResponse) and exc.expired)


def is_counted_failure(exc: BaseException) -> bool:
    """Default of `Breaker.on`: whether the failure says something bad about the callee's health.

    Counted are transport errors, attempt time-outs and unmarked 500, 502, 503, 504. Not counted:
    what we refused ourselves, the caller's deadline, shed and expired answers, cancellation, a full
    connection pool and requests that we built wrong (none of them is evidence about the callee).
    """
    if isinstance(exc, FailedResponse):
        return not (exc.shed or exc.expired)
    if isinstance(exc, _NOT_THE_CALLEE):
        return False
    return isinstance(exc, httpx.TransportError | OSError)


def is_overload(exc: BaseException) -> bool:
    """Whether the callee seems to have too much to do: an adaptive limit backs off from it."""
    if isinstance(exc, FailedResponse):
        return exc.shed
    return is_timeout(exc) and not never_sent(exc)


def is_outage(exc: Exception) -> bool:
    """Default of `Fallback.on`: whether the call came to nothing because of the callee or of time.

    True for everything the policies raise, failed answers, transport and OS errors; false for bugs
    and for requests that we built wrong.
    """
    if isinstance(exc, httpx.UnsupportedProtocol | httpx.LocalProtocolError):
        return False
    return isinstance(exc, ResilienceError | httpx.TransportError | OSError)


def is_unreachable(exc: BaseException) -> bool:
    """Whether no connection came about: nothing was sent, and another address may well answer."""
    return isinstance(exc, _UNREACHABLE)


def attach_request(exc: BaseException, call: object) -> None:
    """Put the request that `call` carries on the error, so that rules and callers can see it."""
    request = getattr(call, "request", None)
    if request is not None and isinstance(exc, httpx.RequestError):
        exc.request = request


def _request_of(exc: Exception) -> httpx.Request | None:
    try:
        return getattr(exc, "request", None)
    except RuntimeError:  # httpx raises it where no request was attached
        return None


def _may_repeat(request: httpx.Request | None) -> bool:
    if request is None:
        return True
    return request.method in SAFE_METHODS or "Idempotency-Key" in request.headers


_NEVER_SENT = (
    Rejected,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    ConnectionRefusedError,
)
_UNREACHABLE = (httpx.ConnectError, httpx.ConnectTimeout, ConnectionRefusedError)
_NOT_THE_CALLEE = (
    Rejected,
    DeadlineExceeded,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
)
