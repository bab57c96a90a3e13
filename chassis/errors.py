"""Refusals as exceptions: what a service says no with, before anybody knows about HTTP.

ServiceError
├── NotFound · MethodNotAllowed · MalformedJson · InvalidRequest · PayloadTooLarge · Unauthorized · Forbidden
├── UnsupportedMediaType             the body is not announced as JSON
├── MalformedRequest · UriTooLong · HeadersTooLarge · RequestTimeout · TooManyConnections
│                                    refused by the connection (`chassis.connections`); it is closed
├── InvalidKey           the Idempotency-Key header is not usable
├── Overloaded           this service's own Shield is full
├── RateLimited          this client comes too often
├── DeadlineGone         the caller's deadline had passed before any work
├── StorageUnavailable   the store did not take the transaction, or nobody knows
├── BadUpstream          a callee answered something that is not its contract
└── InternalError        always a bug

Texts are not here but in `chassis.catalogue`, by code. The status is a hint for whoever renders. Stdlib only, so
that `domain.py` may raise its own subclasses.
"""

from collections.abc import Mapping
from typing import ClassVar


class ServiceError(Exception):
    """A refusal with a stable code.

    Attributes:
        code: Stable machine name; the key of its texts and of `/problems/{code}`.
        status: HTTP status hint.
        final: True when the refusal was decided: the answer carries `X-Outcome: final`, no transport retries it and
            no breaker counts it. False means that the outcome is unknown or may change.
        retry_after_s: Seconds after which asking again makes sense, or None.
    """

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    final: ClassVar[bool] = True
    retry_after_s: float | None = None

    def __init__(self, *, retry_after_s: float | None = None, **extensions: object) -> None:
        super().__init__(self.code)
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s
        self._extensions = extensions

    def extensions(self) -> Mapping[str, object]:
        """Typed extra members of the problem document; also the placeholders of its text."""
        return self._extensions


class NotFound(ServiceError):
    """No such path here."""

    code, status = "not_found", 404


class MethodNotAllowed(ServiceError):
    """The path exists, the method does not."""

    code, status = "method_not_allowed", 405


class MalformedJson(ServiceError):
    """The body is not JSON."""

    code, status = "malformed_json", 400


class InvalidRequest(ServiceError):
    """The body or a parameter breaks the schema; `errors` lists field and reason."""

    code, status = "invalid_request", 422


class InvalidKey(ServiceError):
    """The `Idempotency-Key` header is not 16 to 128 visible ASCII characters."""

    code, status = "invalid_idempotency_key", 400


class PayloadTooLarge(ServiceError):
    """The body exceeds `limit_bytes`; it was not read whole."""

    code, status = "payload_too_large", 413


class UnsupportedMediaType(ServiceError):
    """The body is not announced as JSON."""

    code, status = "unsupported_media_type", 415


class MalformedRequest(ServiceError):
    """What was sent is not HTTP/1.1 as RFC 9112 has it, or could be read in two ways."""

    code, status = "malformed_request", 400


class UriTooLong(ServiceError):
    """The request target exceeds `limit_bytes`."""

    code, status = "uri_too_long", 414


class HeadersTooLarge(ServiceError):
    """More header fields, or more bytes of them, than are read."""

    code, status = "headers_too_large", 431


class RequestTimeout(ServiceError):
    """The request did not arrive whole in time; nothing was done."""

    code, status, final = "request_timeout", 408, False


class TooManyConnections(ServiceError):
    """This client's address has too many connections open; nothing was read."""

    code, status, final = "too_many_connections", 429, False
    retry_after_s = 1.0


class Unauthorized(ServiceError):
    """No valid credential."""

    code, status = "unauthorized", 401


class Forbidden(ServiceError):
    """A valid credential without this right."""

    code, status = "forbidden", 403


class Overloaded(ServiceError):
    """The service's own Shield refused before any work."""

    code, status, final = "overloaded", 503, False
    retry_after_s = 1.0


class RateLimited(ServiceError):
    """This client comes too often; nothing was done."""

    code, status, final = "rate_limited", 429, False
    retry_after_s = 1.0


class DeadlineGone(ServiceError):
    """The caller's deadline had passed before any work."""

    code, status, final = "deadline_exceeded", 504, False


class StorageUnavailable(ServiceError):
    """The store did not take a transaction. Unless a subclass says otherwise, whether it was stored is unknown."""

    code, status, final = "storage_unavailable", 503, False
    retry_after_s = 1.0


class BadUpstream(ServiceError):
    """A callee broke its contract; what it did is unknown."""

    code, status, final = "bad_upstream", 502, False


class InternalError(ServiceError):
    """A bug. The log line with the same request id says more."""

    code, status, final = "internal_error", 500, False
