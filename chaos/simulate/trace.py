"""What happened in a run: a digest that is equal exactly when two runs are, and a timeline that people can read.

The digest is over everything: each step of each process, each message, each commit, each fault. The timeline keeps
what tells the story: messages, commits, faults, births and deaths, answers to buyers.
"""

import asyncio
import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal

Kind = Literal[
    "send",
    "lost",
    "refused",
    "arrive",
    "reply",
    "answer",
    "broken",
    "commit",
    "disk",
    "fault",
    "start",
    "die",
    "tell",
]

_STEP_NAMES: Final = 40


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the timeline.

    Attributes:
        at_s: Virtual seconds.
        kind: What sort of thing.
        who: Where it happened.
        whom: The other end, for messages.
        number: Of the message, for messages.
        what: In words: route, status, transaction, fault.
        detail: More of it: body, rows.
    """

    at_s: float
    kind: Kind
    who: str
    what: str
    whom: str = ""
    number: int = 0
    detail: str = ""


@dataclass(slots=True)
class Trace:
    """Collects one run.

    Attributes:
        keep: Whether to keep the timeline besides the digest.
        events: The timeline.
    """

    keep: bool = False
    events: list[Event] = field(default_factory=list)
    _sealed: bool = False
    _hash: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def step(self, now_s: float, process: Any, handle: asyncio.Handle) -> None:
        """One handle of the loop is about to run."""
        callback: Any = handle._callback  # type: ignore[attr-defined]
        owner = getattr(callback, "__self__", None)
        name = (
            owner.get_name()
            if isinstance(owner, asyncio.Task)
            else getattr(callback, "__qualname__", type(callback).__name__)
        )
        self._hash.update(f"{now_s!r} {process} {name[:_STEP_NAMES]}\n".encode())

    def note(  # noqa: PLR0913 - the fields of an event
        self,
        at_s: float,
        kind: Kind,
        who: str,
        what: str,
        *,
        whom: str = "",
        number: int = 0,
        detail: str = "",
    ) -> None:
        """Something worth telling."""
        if self._sealed:
            return
        event = Event(at_s, kind, who, what, whom, number, detail)
        self._hash.update(f"{event}\n".encode())
        if self.keep:
            self.events.append(event)

    def seal(self) -> None:
        """The run is over: whatever its remains still say is not part of it."""
        self._sealed = True

    def digest(self) -> str:
        """32 hex characters: equal for equal runs."""
        found: str = self._hash.hexdigest()
        return found
