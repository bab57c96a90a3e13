"""Metrics and structured logs. A registry per app, never per process: nothing here is module state.

Names follow OpenTelemetry's HTTP semantic conventions plus the `resilience_*`, `store_*` and `loop_*` families. Never
an id, seat or e-mail as a label.
"""

import logging
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from itertools import accumulate
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from chassis.requests import request_id
from chassis.settings import ServiceSettings
from chassis.tracing import reservation_id, trace_id
from chassis.traffic import BUCKETS_S, Traffic
from resilience import Event

log = structlog.get_logger()


_ADDRESS: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@[\w-]+(\.[\w-]+)+")

_PHASES: Final = {"closed": 0, "half_open": 1, "open": 2}

_POLICY_GAUGES: Final = (
    ("breaker", "circuit_breaker_state", "0 closed, 1 half-open, 2 open."),
    ("limit", "concurrency_limit", "Calls that may be in flight."),
    ("in_flight", "in_flight", "Calls in flight."),
    ("quota", "retry_quota_tokens", "Tokens left for retries."),
)
"""Part of a policy's snapshot, gauge, documentation."""


class Metrics:
    """The metric families of one app, on its own registry."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Histogram(
            "http_server_request_duration_seconds",
            "Duration of inbound requests.",
            ["http_request_method", "http_route", "http_response_status_code"],
            registry=registry,
        )
        self.attempts = Attempts()
        registry.register(self.attempts)
        self.in_flight = Gauge(
            "http_server_active_requests", "Inbound requests in flight.", registry=registry
        )
        self.refused = Counter(
            "http_server_connections_refused",
            "Connections closed because of what their client did, by the code it was told.",
            ["code"],
            registry=registry,
        )
        self.resilience_events = Counter(
            "resilience_events",
            "Policy events by edge and kind.",
            ["name", "kind"],
            registry=registry,
        )
        # By name and kind; filled by `on_policy_event`, which every attempt of every call passes.
        self._counted: dict[tuple[str, str], Counter] = {}
        self._policy = {
            part: Gauge(f"resilience_{name}", documentation, ["name", "host"], registry=registry)
            for part, name, documentation in _POLICY_GAUGES
        }
        self.store_queue = Gauge(
            "store_queue", "Transactions waiting.", ["database"], registry=registry
        )
        self.store_batch = Histogram(
            "store_batch_size",
            "Transactions per commit.",
            ["database"],
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=registry,
        )
        self.store_commit = Histogram(
            "store_commit_seconds", "Duration of a group commit.", ["database"], registry=registry
        )
        self.store_errors = Counter(
            "store_errors", "Batches that failed.", ["database"], registry=registry
        )
        self.loop_up = Gauge(
            "loop_up", "1 while the background loop runs.", ["loop"], registry=registry
        )
        self.loop_rounds = Counter(
            "loop_rounds", "Rounds of a background loop.", ["loop"], registry=registry
        )
        self.loop_errors = Counter(
            "loop_errors", "Rounds that failed.", ["loop"], registry=registry
        )
        self.loop_last_success = Gauge(
            "loop_last_success_timestamp_seconds",
            "When a round last succeeded.",
            ["loop"],
            registry=registry,
        )
        self.faults = Gauge(
            "chaos_fault_active", "1 while a fault is on.", ["fault"], registry=registry
        )

    def gauge(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> Gauge:
        """A service's own gauge."""
        return Gauge(name, documentation, labels, registry=self.registry)

    def counter(self, name: str, documentation: str, labels: tuple[str, ...] = ()) -> Counter:
        """A service's own counter."""
        return Counter(name, documentation, labels, registry=self.registry)

    def show_policy(self, name: str, host: str, snapshot: Mapping[str, Any]) -> None:
        """Mirror a pipeline's live state, as `Pipeline.snapshot` gives it."""
        for part, gauge in self._policy.items():
            value = snapshot.get(part)
            if value is not None:
                is_breaker = part == "breaker"
                gauge.labels(name, host).set(_PHASES[value["phase"]] if is_breaker else value)
        for address, state in snapshot.get("hosts", {}).items():
            self.show_policy(name, address, state)

    def on_policy_event(self, event: Event) -> None:
        """The listener that every policy of the app gets: counts, and logs what people must see."""
        key = (event.name, event.kind)
        counted = self._counted.get(key)
        if counted is None:
            counted = self._counted[key] = self.resilience_events.labels(*key)
        counted.inc()
        if event.kind.startswith("breaker_"):
            log.warning(event.kind, edge=event.name, **event.detail)
        elif event.kind != "attempt" or event.detail["outcome"] != "ok":
            log.debug(event.kind, edge=event.name, **event.detail)


class Attempts(Collector):
    """How long attempts to call others took, made when it is asked from what `Traffic` has counted.

    Attributes:
        traffic: By callee; filled while the app starts.
    """

    def __init__(self) -> None:
        self.traffic: dict[str, Traffic] = {}

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """The family without samples."""
        yield HistogramMetricFamily(
            "http_client_request_duration_seconds",
            "Duration of attempts to call another service; without an answer, the status is empty.",
            labels=["server_address", "http_response_status_code", "error_type"],
        )

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """The family as it stands."""
        (family,) = self.describe()
        for callee, traffic in self.traffic.items():
            for ended, (counts, (sum_s,)) in traffic.attempts.items():
                status, error = ("", str(ended)) if isinstance(ended, str) else (str(ended), "")
                bounds = (*map(floatToGoString, BUCKETS_S), "+Inf")
                buckets = list(zip(bounds, accumulate(counts), strict=True))
                family.add_metric([callee, status, error], buckets, sum_s)
        yield family


def configure_logs(service: str, settings: ServiceSettings) -> None:
    """Set up structlog for this process; called by `chassis.serve` only, never at import.

    Every line says to which request, reservation and trace it belongs, as far as that is known.
    """
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            *(_for_machines(service) if settings.log_format == "json" else _for_people(settings)),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    others = logging.StreamHandler(sys.stdout)
    others.setFormatter(_Masked("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[others])
    logging.getLogger("httpx").setLevel(logging.WARNING)


def _for_machines(service: str) -> list[Any]:
    def name(_logger: Any, _method: str, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"service": service, **entry}

    return [
        belonging,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        name,
        structlog.processors.JSONRenderer(sort_keys=False, ensure_ascii=False),
        _masked,
    ]


def _for_people(settings: ServiceSettings) -> list[Any]:
    is_coloured = settings.log_format == "colour" or sys.stdout.isatty()
    return [
        belonging,
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=True),
        structlog.processors.ExceptionRenderer(),  # plain: no values of variables
        structlog.dev.ConsoleRenderer(colors=is_coloured, pad_event_to=24),
        _masked,
    ]


def without_addresses(line: str) -> str:
    """The line with every e-mail address made unreadable: an error may quote what nobody meant to log."""
    return _ADDRESS.sub("***@***", line) if "@" in line else line


def _masked(_logger: Any, _method: str, line: Any) -> str:
    return without_addresses(line)


class _Masked(logging.Formatter):
    """For what libraries log."""

    def format(self, record: logging.LogRecord) -> str:
        return without_addresses(super().format(record))


def belonging(
    _logger: Any, _method: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Processor: what a line is about, unless it says so itself. Costs nothing until a line is written."""
    if (current := request_id.get()) != "-":
        entry.setdefault("request_id", current)
    if (about := reservation_id.get()) is not None:
        entry.setdefault("reservation_id", about)
    if (trace := trace_id.get()) is not None:
        entry.setdefault("trace_id", trace)
    return entry
