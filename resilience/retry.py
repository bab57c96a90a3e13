"""Retry: another attempt when it is safe, likely to help, affordable and in time.

tenacity decides every retry, but only after a first failure: a call that succeeds at once never
touches it (24 µs saved). The failure is then replayed as tenacity's attempt 1 into a copy of the
template, so attempt numbers are right and concurrent calls share nothing but the quota.

A call gives up, in this order, when its attempts are used, its patience is over, the wait would be
absurd, the deadline would pass, or the quota is empty; the quota is asked last, so it pays only for
retries that will happen.

Not here: which failures are transient (`errors.py`), what an HTTP answer means (`transport.py`),
tokens (`quota.py`). Source: full jitter, Brooker, "Exponential Backoff and Jitter" (AWS, 2015).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tenacity import AsyncRetrying, RetryCallState
from tenacity.retry import retry_base
from tenacity.stop import stop_any, stop_base
from tenacity.wait import wait_base

from resilience.deadline import deadline
from resilience.errors import attach_request, is_final, is_timeout, is_transient, never_sent
from resilience.events import Emitter
from resilience.layer import Call, Layer, Wrap
from resilience.quota import Quota, QuotaBucket
from resilience.runtime import Runtime


def full_jitter_s(attempt: int, base_s: float, cap_s: float, random: Callable[[], float]) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    Uniform in [0, min(cap_s, base_s * 2^(attempt - 1))); safe for any number of attempts.
    """
    return random() * min(cap_s, base_s * 2.0 ** min(attempt - 1, 62))


@dataclass(frozen=True)
class Retry:
    """How often and how patiently to try.

    Attributes:
        attempts: Tries in all, the first included, >= 1.
        base_s: Backoff before the first retry is up to this many seconds, doubled each time.
        cap_s: Backoff never exceeds this; a callee's Retry-After may.
        quota: Budget per destination; None retries without one.
        patience_s: Give up on answers and broken connections (not on time-outs) once this many
            seconds have passed since the call began, or when the next wait would pass it. None: no
            such limit.
        on: Which failures may be repeated, instead of `errors.is_transient`. A passed deadline
            never is.
        min_useful_s: Do not retry unless this much of the deadline is left after the wait, seconds.
        wait_limit_s: A longer wait, asked for by Retry-After, ends the call at once, seconds.
    """

    attempts: int = 3
    base_s: float = 0.05
    cap_s: float = 1.0
    quota: Quota | None = field(default_factory=Quota)
    patience_s: float | None = None
    on: Callable[[Exception], bool] | None = None
    min_useful_s: float = 0.005
    wait_limit_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts counts the first try, so it is at least 1")

    def backoff_s(self, attempt: int, random: Callable[[], float]) -> float:
        """Full jitter after failed attempt number `attempt`, seconds."""
        return full_jitter_s(attempt, self.base_s, self.cap_s, random)

    def allows(self, exc: Exception) -> bool:
        """Whether the failure may be repeated at all."""
        if is_final(exc):
            return False
        return is_transient(exc) if self.on is None else self.on(exc)


@dataclass
class _Ongoing:
    """One call that failed at least once. Passed through tenacity as the attempt's argument.

    Attributes:
        fn: The call.
        began_s: When it began.
        first: The first failure, until it has been replayed.
        in_doubt: The last failure after which the callee may have done the work.
        cost: What the latest retry was paid, for the refund.
        stopped_by: Why there was no further try.
    """

    fn: Call
    began_s: float
    first: Exception | None
    in_doubt: Exception | None = None
    cost: float = 0.0
    stopped_by: str = ""


def _ongoing(state: RetryCallState) -> _Ongoing:
    call: _Ongoing = state.args[0]
    return call


def _failure(state: RetryCallState) -> BaseException:
    assert state.outcome is not None
    failure = state.outcome.exception()
    assert failure is not None
    return failure


class _If(retry_base):
    """Retries the failures that the policy allows; never `CancelledError` and its like."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry

    def __call__(self, retry_state: RetryCallState) -> bool:
        assert retry_state.outcome is not None
        failure = retry_state.outcome.exception()
        return isinstance(failure, Exception) and self._retry.allows(failure)


class _Wait(wait_base):
    """Full jitter, or as long as the callee asked for if that is more."""

    def __init__(self, retry: Retry, random: Callable[[], float]) -> None:
        self._retry = retry
        self._random = random

    def __call__(self, retry_state: RetryCallState) -> float:
        backoff_s = self._retry.backoff_s(retry_state.attempt_number, self._random)
        return max(backoff_s, getattr(_failure(retry_state), "retry_after_s", None) or 0.0)


class _Stop(stop_base):
    """Stops for one reason and leaves its name on the call."""

    def __init__(self, reason: str, holds: Callable[[RetryCallState], bool]) -> None:
        self._reason = reason
        self._holds = holds

    def __call__(self, retry_state: RetryCallState) -> bool:
        if not self._holds(retry_state):
            return False
        _ongoing(retry_state).stopped_by = self._reason
        return True


class _Stops:
    """The reasons to give up, each a question about the retry that is about to happen."""

    def __init__(
        self, retry: Retry, bucket: QuotaBucket | None, clock: Callable[[], float]
    ) -> None:
        self._retry = retry
        self._bucket = bucket
        self._clock = clock

    def in_order(self) -> stop_any:
        """All of them; the quota last, because asking it takes tokens."""
        return stop_any(
            _Stop("attempts", lambda state: state.attempt_number >= self._retry.attempts),
            _Stop("patience", self._patience_is_over),
            _Stop("wait", lambda state: state.upcoming_sleep > self._retry.wait_limit_s),
            _Stop("deadline", self._deadline_would_pass),
            _Stop("quota", self._quota_is_empty),
        )

    def _patience_is_over(self, state: RetryCallState) -> bool:
        patience_s = self._retry.patience_s
        if patience_s is None or is_timeout(_failure(state)):
            return False
        passed_s = self._clock() - _ongoing(state).began_s
        return passed_s >= patience_s or passed_s + state.upcoming_sleep > patience_s

    def _deadline_would_pass(self, state: RetryCallState) -> bool:
        left_s = deadline.remaining_s()
        return left_s is not None and state.upcoming_sleep + self._retry.min_useful_s >= left_s

    def _quota_is_empty(self, state: RetryCallState) -> bool:
        if self._bucket is None:
            return False
        cost = self._bucket.cost_of(_failure(state))
        if not self._bucket.withdraw(cost):
            return True
        _ongoing(state).cost = cost
        return False


class _Persistent:
    """The layer: one try without tenacity, then all others by a copy of its template."""

    def __init__(
        self,
        proceed: Layer,
        retry: Retry,
        bucket: QuotaBucket | None,
        runtime: Runtime,
        emitter: Emitter,
    ) -> None:
        self._proceed = proceed
        self._retry = retry
        self._bucket = bucket
        self._clock = runtime.clock
        self._emitter = emitter
        self._template = AsyncRetrying(
            sleep=runtime.sleep,
            retry=_If(retry),
            wait=_Wait(retry, runtime.random),
            stop=_Stops(retry, bucket, runtime.clock).in_order(),
            before_sleep=self._tell if emitter else None,
            reraise=True,
        )

    async def call(self, fn: Call) -> Any:
        began_s = self._clock()
        try:
            result = await self._proceed(fn)
        except Exception as exc:
            attach_request(exc, fn)
            if not self._retry.allows(exc):
                raise
            first = exc
        else:
            bucket = self._bucket
            if bucket is not None and bucket.tokens < bucket.capacity:
                bucket.deposit(1.0)
            return result
        return await self._go_on(_Ongoing(fn, began_s, first))

    async def _go_on(self, call: _Ongoing) -> Any:
        retrying = self._template.copy()
        try:
            result: Any = await retrying(self._attempt, call)
        except Exception as exc:
            if call.stopped_by:
                attempt = retrying.statistics["attempt_number"]
                error = type(exc).__name__
                self._emitter.emit(
                    "retry_stopped", reason=call.stopped_by, attempt=attempt, error=error
                )
            if call.in_doubt is not None and never_sent(exc):
                raise call.in_doubt from exc
            raise
        if self._bucket is not None:
            self._bucket.deposit(call.cost)
        return result

    async def _attempt(self, call: _Ongoing) -> Any:
        try:
            return await self._replay_or_proceed(call)
        except Exception as exc:
            attach_request(exc, call.fn)
            if not never_sent(exc):
                call.in_doubt = exc
            raise

    def _replay_or_proceed(self, call: _Ongoing) -> Awaitable[Any]:
        if call.first is None:
            return self._proceed(call.fn)
        first, call.first = call.first, None
        raise first

    def _tell(self, state: RetryCallState) -> None:
        self._emitter.emit(
            "retry",
            attempt=state.attempt_number,
            wait_s=state.upcoming_sleep,
            error=type(_failure(state)).__name__,
        )


def retried(retry: Retry, bucket: QuotaBucket | None, runtime: Runtime, emitter: Emitter) -> Wrap:
    """Layer that repeats failed calls.

    It raises the last failure, unchanged, with one exception. If that failure proves that the last
    attempt did nothing, but an earlier attempt may have reached the callee, the earlier failure is
    raised instead: a call never claims to know more than it does.
    """

    def wrap(proceed: Layer) -> Layer:
        return _Persistent(proceed, retry, bucket, runtime, emitter).call

    return wrap
