"""Rate limit: how many attempts may begin per second, with a burst. No queue: too fast is refused.

One bucket for calls to a destination (`Policy(rate_limit=…)`), or one per key for a server's
clients (`RateLimit.buckets`, used by `Shield`).

Invariants: in any t seconds at most `burst + rate_per_s * t` are let through; a refusal takes
nothing, and its `retry_after_s` is exact as long as nobody else takes the token first; the number of
buckets is bounded.

Not here: how many may be in flight at once (`limit.py`). Source: the generic cell rate algorithm
(ITU-T I.371, virtual scheduling): a token bucket that is one number, the time at which it would be
full.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from resilience.errors import Throttled
from resilience.events import Emitter
from resilience.layer import Call, Layer, Wrap
from resilience.runtime import Runtime

_ROUNDING_S: Final = 1e-9
_LONGEST_KEY: Final = 64


@dataclass(frozen=True)
class RateLimit:
    """How many may begin per second. Neither number has a value that is right for most.

    Attributes:
        rate_per_s: Tokens that come back per second, > 0.
        burst: Tokens a full bucket holds: how many may begin at once after a pause, >= 1.
    """

    rate_per_s: float
    burst: int

    def __post_init__(self) -> None:
        if not self.rate_per_s > 0:
            raise ValueError("rate_per_s is a positive number")
        if self.burst < 1:
            raise ValueError("a burst lets at least one through")

    def build(self, runtime: Runtime) -> "TokenBucket":
        """A full bucket of its own."""
        return TokenBucket(self, runtime)

    def buckets(self, runtime: Runtime, max_keys: int = 10_000) -> "KeyedBuckets":
        """A bucket for each key, at most `max_keys` of them."""
        return KeyedBuckets(self, runtime, max_keys)

    def take(self, full_at: float, now: float) -> tuple[float, float]:
        """The rule itself, pure: take a token from the bucket that would be full at `full_at`.

        Returns:
            When the bucket is full now, and the seconds until there is a token; 0.0 if one was
            taken.
        """
        interval_s = 1.0 / self.rate_per_s
        full_at = max(full_at, now)
        wait_s = full_at - now - (self.burst - 1) * interval_s
        if wait_s > _ROUNDING_S:
            return full_at, wait_s
        return full_at + interval_s, 0.0


class TokenBucket:
    """The tokens of one destination. One per event loop; O(1)."""

    def __init__(self, config: RateLimit, runtime: Runtime) -> None:
        self._config = config
        self._clock = runtime.clock
        self._full_at = float("-inf")

    def take(self) -> float:
        """Take a token. Returns 0.0, or the seconds until there is one (then none was taken)."""
        self._full_at, wait_s = self._config.take(self._full_at, self._clock())
        return wait_s

    @property
    def tokens(self) -> float:
        """Tokens there are now, fractions included."""
        missing_s = max(0.0, self._full_at - self._clock())
        return max(0.0, self._config.burst - missing_s * self._config.rate_per_s)


class KeyedBuckets:
    """A token bucket per key, for servers that limit each client. One per event loop; O(1).

    At most `max_keys` buckets are kept. The one not asked for the longest is dropped first, because
    it has refilled the most; if its key comes back it begins with a full bucket. So many keys at
    once can only make the limit milder, never stricter, and memory stays bounded (long keys are
    kept as a digest).
    """

    def __init__(self, config: RateLimit, runtime: Runtime, max_keys: int) -> None:
        if max_keys < 1:
            raise ValueError("there is room for at least one key")
        self._config = config
        self._clock = runtime.clock
        self._max_keys = max_keys
        # When each key's bucket would be full; the key asked for last is at the end.
        self._full_at: dict[str, float] = {}

    def take(self, key: str) -> float:
        """Take a token of this key. Returns 0.0, or the seconds until there is one."""
        if len(key) > _LONGEST_KEY:
            key = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        now = self._clock()
        full_at, wait_s = self._config.take(self._full_at.pop(key, now), now)
        self._full_at[key] = full_at
        if len(self._full_at) > self._max_keys:
            del self._full_at[next(iter(self._full_at))]
        return wait_s

    def __len__(self) -> int:
        """How many keys have a bucket."""
        return len(self._full_at)


def throttled(bucket: TokenBucket, emitter: Emitter) -> Wrap:
    """Layer that takes a token for each attempt, hedges included.

    Raises (from the layer):
        Throttled: There was none; `retry_after_s` says when there is.
    """

    def wrap(proceed: Layer) -> Layer:
        async def paced(fn: Call) -> Any:
            wait_s = bucket.take()
            if wait_s:
                emitter.emit("rejected", reason="throttled", retry_after_s=wait_s)
                raise Throttled(f"too many calls to {emitter.name}", retry_after_s=wait_s)
            return await proceed(fn)

        return paced

    return wrap
