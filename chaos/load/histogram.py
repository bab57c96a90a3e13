"""Latencies in buckets that can be added up: percentiles of many processes and seconds without an average of averages.

Log-linear as in HdrHistogram (Gil Tene): below 2.048 ms a bucket is one microsecond wide, above it each power of two is
divided into 1,024. A percentile is given as the upper end of its bucket: never less than the true one, and at most
1/1,024 (0.1 %) or one microsecond more.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

_BITS: Final = 10
_PART: Final = 1 << _BITS

ERROR: Final = 1 / _PART
"""Most that a percentile may be above the true value, as a share of it."""


class Histogram:
    """How often which latency was seen. Values are seconds; what is below zero counts as zero."""

    __slots__ = ("_counts", "count", "max_s", "sum_s")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.sum_s = 0.0
        self.max_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one value."""
        us = max(0, math.ceil(seconds * 1e6 - 1e-3))
        shift = us.bit_length() - _BITS - 1
        bucket = us if shift <= 0 else (shift << _BITS) + (us >> shift)
        counts = self._counts
        counts[bucket] = counts.get(bucket, 0) + 1
        self.count += 1
        self.sum_s += seconds
        self.max_s = max(self.max_s, seconds)

    def merge(self, other: Self) -> None:
        """Add all that `other` has counted."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.sum_s += other.sum_s
        self.max_s = max(self.max_s, other.max_s)

    @classmethod
    def merged(cls, parts: Iterable[Self]) -> Self:
        """One that has counted what all of them have."""
        whole = cls()
        for part in parts:
            whole.merge(part)
        return whole

    def at(self, share: float, missing: int = 0) -> float | None:
        """The value that this share does not exceed, nearest rank, seconds.

        Args:
            share: 0 to 1.
            missing: How many were never seen, and are taken for longer than any that was.

        Returns:
            None where nothing was counted, or where the rank falls among the missing.
        """
        rank = max(1, math.ceil(share * (self.count + missing)))
        if rank > self.count:
            return None
        for bucket in sorted(self._counts):
            rank -= self._counts[bucket]
            if rank <= 0:
                return min(_upper_us(bucket) / 1e6, self.max_s)
        return self.max_s

    @property
    def mean_s(self) -> float | None:
        """Exact, not from buckets; None of nothing."""
        return self.sum_s / self.count if self.count else None

    def spans(self) -> list[tuple[float, float, int]]:
        """Every bucket that is not empty: from, to (seconds, both inclusive), count; in order."""
        return [
            (_lower_us(bucket) / 1e6, _upper_us(bucket) / 1e6, self._counts[bucket])
            for bucket in sorted(self._counts)
        ]

    def as_wire(self) -> dict[str, Any]:
        """For another process, as JSON."""
        return {"counts": list(self._counts.items()), "sum_s": self.sum_s, "max_s": self.max_s}

    @classmethod
    def from_wire(cls, document: Mapping[str, Any]) -> Self:
        """What `as_wire` gave."""
        made = cls()
        made._counts = dict(document["counts"])
        made.count = sum(made._counts.values())
        made.sum_s, made.max_s = document["sum_s"], document["max_s"]
        return made


def _lower_us(bucket: int) -> int:
    shift = max(0, (bucket >> _BITS) - 1)
    return (bucket - (shift << _BITS)) << shift


def _upper_us(bucket: int) -> int:
    shift = max(0, (bucket >> _BITS) - 1)
    return ((bucket - (shift << _BITS) + 1) << shift) - 1
