"""The journal: what buyers asked for and what they were told, one line per request, for the auditor.

A JSONL file. Its first line says when it began (`{"journal": 1, "began_at": <epoch seconds>, "by": "load"}`); every
other line is an `Entry` without its empty fields, written when its answer came. Times are seconds since `began_at` on
one monotonic clock, so that no step of the wall clock can turn an order around. A last line that was cut off by a
crash is ignored. Several processes of one machine may write one journal: they share the clock, and each line is one
write to a file that is open for appending, which no other write can part.

Outcomes are the three of a history (Jepsen's words): *ok* took effect, *fail* did not and never will by this request,
*info* may have, now or later. A time-out is never a fail.

Standard library only: the auditor reads journals and shares no other code with anybody.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Self, TextIO

VERSION: Final = 1

Op = Literal["reserve", "cancel", "read", "count", "reset"]
"""What was asked: buy, give back, look at one reservation, look at an event's counters, set its free seats."""

Outcome = Literal["ok", "fail", "info"]

_NO_EFFECT: Final = frozenset(
    {
        (402, "payment_declined"),
        (404, "event_not_found"),
        (409, "sold_out"),
        (409, "seat_taken"),
        (409, "price_changed"),
        (409, "hold_gone"),
        (504, "payment_timeout"),
        (504, "deadline_exceeded"),
        (503, "inventory_unavailable"),
        (503, "payments_unavailable"),
        (503, "storage_unavailable"),
        (503, "reservations_unavailable"),
        (503, "overloaded"),
    }
)
"""Answers to a reservation that promise: no seat and no money by this request."""

_NEVER_SENT: Final = frozenset({"ConnectError", "ConnectTimeout", "NotSent"})
"""Failures before anything was sent, in httpx's words; of *NotSent* the client had no room for the request."""

_NEVER_STARTED: Final = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 429})


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and its answer.

    Attributes:
        op: What was asked.
        outcome: Whether it took effect.
        invoked_s: When it was sent, seconds since the journal began.
        completed_s: When its answer, or the failure, came.
        client: Who asked; a client has one request in flight at a time.
        key: Idempotency-Key, of a reservation.
        user_id: The buyer.
        event_id: The event.
        quantity: Seats wanted; of a reset, the free seats to leave.
        wanted: Named seats, if any.
        status: HTTP status; 0 when no answer came.
        code: `status` of a reservation, `code` of a problem, or the name of the failure.
        reservation_id: As answered; of cancel and read, as asked.
        seats: As answered.
        total_minor: Price as answered, minor units.
        replayed: Whether the answer said that it repeats an earlier one.
        capacity: Of a count, all seats of the event.
        free: Of a count, its free seats.
    """

    op: Op
    outcome: Outcome
    invoked_s: float
    completed_s: float
    client: str = ""
    key: str = ""
    user_id: str = ""
    event_id: str = ""
    quantity: int = 0
    wanted: tuple[str, ...] = ()
    status: int = 0
    code: str = ""
    reservation_id: str = ""
    seats: tuple[str, ...] = ()
    total_minor: int | None = None
    replayed: bool = False
    capacity: int | None = None
    free: int | None = None


_DEFAULTS: Final = {field.name: field.default for field in fields(Entry)}


def outcome_of(op: Op, status: int, code: str) -> Outcome:
    """What an answer says about its request.

    A reservation's 503 is a fail: it promises that nothing of this delivery stays, though the same key may be tried
    again. `request_in_progress` is info: whatever is in progress may still end in a sale.
    """
    if status in (0, 202):
        return "fail" if code in _NEVER_SENT else "info"
    if 200 <= status < 300:
        return "ok"
    if op == "cancel":
        return "fail" if status < 500 else "info"
    if op == "reserve":
        done = (status, code) in _NO_EFFECT or (status in _NEVER_STARTED and code != "")
        return "fail" if done else "info"
    return "fail"


def entry_of(
    op: Op,
    asked: Mapping[str, Any],
    answer: Mapping[str, Any],
    *,
    status: int,
    code: str,
    at_s: tuple[float, float],
) -> Entry:
    """The entry of a request to the public API.

    Args:
        op: What was asked.
        asked: Fields of `Entry` that the client chose: `client`, `key`, `user_id`, `event_id`, `quantity`, `wanted`,
            `reservation_id`.
        answer: The decoded body, empty if there was none; `replayed` in it tells of the header Idempotent-Replayed.
        status: HTTP status; 0 when no answer came.
        code: `status` of a reservation, `code` of a problem, or the name of the failure.
        at_s: When it was sent and when the answer came, seconds since the journal began.
    """
    total = answer.get("total")
    told = {
        "reservation_id": str(answer.get("reservation_id") or asked.get("reservation_id") or ""),
        "seats": tuple(answer.get("seats") or ()) if 200 <= status < 300 else (),
        "total_minor": total.get("amount_minor") if isinstance(total, Mapping) else None,
        "replayed": answer.get("replayed") is True,
    }
    return Entry(
        op=op,
        outcome=outcome_of(op, status, code),
        invoked_s=round(at_s[0], 6),
        completed_s=round(at_s[1], 6),
        status=status,
        code=code,
        **{**asked, **told},
    )


class Journal:
    """A journal being written; one per run. Each line is on its way to the disk when `note` returns.

    Args:
        file: Open for appending text; closed by whoever opened it.
        clock: Monotonic seconds.
        began_s: The clock when it began.

    Attributes:
        began_s: The same, for `join`.
    """

    def __init__(self, file: TextIO, *, clock: Callable[[], float], began_s: float) -> None:
        self._file = file
        self._clock = clock
        self.began_s = began_s
        self.path = Path(file.name)

    @classmethod
    @contextmanager
    def open(
        cls, path: Path, *, clock: Callable[[], float], began_at: float, by: str = ""
    ) -> Iterator[Self]:
        """Start a journal at `path`, making its folder; what stood there is replaced."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
        with path.open("a", encoding="utf-8") as file:
            opened = cls(file, clock=clock, began_s=clock())
            opened._write({"journal": VERSION, "began_at": began_at, "by": by})
            yield opened

    @classmethod
    @contextmanager
    def join(cls, path: Path, *, clock: Callable[[], float], began_s: float) -> Iterator[Self]:
        """Write along in a journal that another process of this machine has opened.

        Args:
            path: Where it is.
            clock: The same monotonic clock.
            began_s: The other's `began_s`.
        """
        with path.open("a", encoding="utf-8") as file:
            yield cls(file, clock=clock, began_s=began_s)

    def now_s(self) -> float:
        """Seconds since the journal began."""
        return self._clock() - self.began_s

    def at_s(self, moment_s: float) -> float:
        """The same of a moment on the clock."""
        return moment_s - self.began_s

    def note(self, entry: Entry) -> None:
        """Write one entry."""
        self._write(
            {
                name: value
                for name, default in _DEFAULTS.items()
                if (value := getattr(entry, name)) != default
            }
        )

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()


@dataclass(frozen=True, slots=True)
class Recording:
    """A journal as read.

    Attributes:
        path: Where it was.
        began_at: Epoch seconds of its time 0.
        entries: In the order in which their answers came.
    """

    path: Path
    began_at: float
    entries: tuple[Entry, ...]


class NotAJournal(Exception):
    """The file does not begin as a journal of this version does, or a line of it makes no sense."""


_TUPLES: Final = ("wanted", "seats")


def read(path: Path) -> Recording:
    """The journal at `path`; a last line without an end is left out.

    Raises:
        NotAJournal: It is something else.
        OSError: It cannot be read.
    """
    head, *lines = path.read_text(encoding="utf-8").split("\n")[:-1] or [""]
    try:
        first = json.loads(head)
        if first["journal"] != VERSION:
            raise NotAJournal(f"{path}: version {first['journal']}")
        entries = tuple(_entry(json.loads(line)) for line in lines)
        return Recording(path, float(first["began_at"]), entries)
    except (ValueError, KeyError, TypeError) as error:
        raise NotAJournal(f"{path}: {error!r}") from error


def _entry(line: dict[str, Any]) -> Entry:
    known: dict[str, Any] = {name: line[name] for name in line if name in _DEFAULTS}
    for name in _TUPLES:
        known[name] = tuple(known.get(name, ()))
    return Entry(**known)


def folder(data: Path) -> Path:
    """Where the journals of a mesh lie."""
    return data / "journal"


def new_path(data: Path, began_at: float) -> Path:
    """A file for a journal that begins at `began_at` (epoch seconds), named by that moment, in UTC."""
    moment = datetime.fromtimestamp(began_at, UTC)
    return folder(data) / f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond:06d}Z.jsonl"


def found_in(data: Path) -> list[Path]:
    """The journals of a mesh, oldest first."""
    return sorted(folder(data).glob("*.jsonl"))
