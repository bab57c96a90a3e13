"""A run as text: one line per event, for a terminal. And what of a run concerns one reservation.

`gist`, `wording`, `transitions` and `Names` say the same things in the same words to `chaos.simulate.picture`.

Not here: collecting events (`chaos.simulate.trace`), drawing them (`chaos.simulate.picture`).
"""

import json
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

import click

from chaos.simulate.trace import Event
from chaos.texts import Say

WIDTH: Final = 140
"""Characters of a line, at most."""

_SHORT: Final = 5
_PARTIES: Final = 32

_ID: Final = re.compile(r"\br?[0-9a-f]{32,64}\b")
_RESERVATION: Final = re.compile(r"\br[0-9a-f]{32}\b")
_KEY: Final = re.compile(r"\b(buyer-\d+)-purchase-(\d+)\b")
_LASTS: Final = re.compile(r"for ([\d.]+) s$|pause: ([\d.]+) s$")

_MARKS: Final = {
    "commit": "●",
    "disk": "✗",
    "fault": "✗",
    "lost": "✗",
    "broken": "✗",
    "refused": "✗",
    "die": "☠",
    "start": "↑",
}
_STYLES: Final[dict[str, dict[str, Any]]] = {
    "commit": {"fg": "cyan"},
    "disk": {"fg": "yellow"},
    "fault": {"fg": "yellow"},
    "lost": {"fg": "red"},
    "broken": {"fg": "red"},
    "refused": {"fg": "red"},
    "die": {"fg": "red", "bold": True},
    "start": {"fg": "green"},
    "arrive": {"dim": True},
    "answer": {"dim": True},
}

_WORDS: Final = tuple(
    (re.compile(pattern), spanish, english)
    for pattern, spanish, english in (
        (r"^answer lost: lost_reply$", "la respuesta se pierde", "the answer is lost"),
        (r"^answer lost: partition$", "partición: la respuesta no vuelve", "partition: no way back"),
        (r"^drop$", "la solicitud se pierde", "the request is lost"),
        (r"^partition$", "partición: no llega", "partition: it does not arrive"),
        (r"^reset$", "la conexión se rompe", "the connection breaks"),
        (r"^hang_up$", "se cortará a medias", "it will be cut midway"),
        (r"^nobody listens$", "nadie escucha", "nobody listens"),
        (r"^(\d+) to the copy$", r"\1 a la copia", r"\1 to the copy"),
        (r"^once more$", "otra vez (×2)", "once more (×2)"),
        (r"^\w+: connection reset$", "conexión rota", "connection reset"),
        (r"^\w+: callee died$", "murió quien debía responder", "the callee died"),
        (r"^\w+: no answer in time$", "se agotó la espera", "no answer in time"),
        (r"^the caller waits no longer$", "quien espera se cansa", "the caller waits no longer"),
        (r"^\w+: refused$", "conexión rechazada", "connection refused"),
        (r"^\w+: closed without an answer$", "cerrada sin respuesta", "closed without an answer"),
        (r"^process killed before the commit", "muere antes del commit", "killed before the commit"),
        (r"^process killed after the commit", "muere tras el commit", "killed after the commit"),
        (r"^fails before the commit", "falla antes del commit", "fails before the commit"),
        (r"^fails after the commit", "falla tras el commit", "fails after the commit"),
        (r"^is full$", "está lleno", "is full"),
        (r"^by the nemesis$", "la mata la némesis", "killed by the nemesis"),
        (r"^between two steps$", "entre dos pasos", "between two steps"),
        (r"^before a commit$", "antes de un commit", "before a commit"),
        (r"^after a commit$", "después de un commit", "after a commit"),
        (r"^before a call to (.+)$", r"antes de llamar a \1", r"before a call to \1"),
        (r"^after a call to (.+)$", r"tras llamar a \1", r"after a call to \1"),
        (r"^exit (\d+)$", r"sale con \1", r"exit \1"),
        (r"^cannot start:", "no arranca:", "cannot start:"),
        (r"^start (\d+)$", r"arranca (\1)", r"starts (\1)"),
        (r"^crash(?: at a \w+)?:", "muerte:", "crash:"),
        (r"again in ([\d.]+ s)$", r"vuelve en \1", r"back in \1"),
        (r"in (\d+) steps$", r"dentro de \1 pasos", r"in \1 steps"),
        (r"before its call (\d+).*$", r"antes de su llamada n.º \1", r"before its call \1 from now"),
        (r"after its call (\d+).*$", r"tras su llamada n.º \1", r"after its call \1 from now"),
        (r"before commit (\d+) of (\S+).*$", r"antes del commit n.º \1", r"before commit \1 from now"),
        (r"after commit (\d+) of (\S+).*$", r"tras el commit n.º \1", r"after commit \1 from now"),
        (r"^pause:", "en pausa:", "paused:"),
        (r"^clock:", "salta el reloj:", "clock jumps:"),
        (r"^partition:", "partición:", "partition:"),
        (r"^gray link:", "enlace enfermo:", "gray link:"),
        (r"^bad disk:", "disco enfermo:", "bad disk:"),
        (r"^full disk:", "disco lleno:", "full disk:"),
        (r" and ", " y ", " and "),
        (r" for ([\d.]+ s)$", r", \1", r", \1"),
    )
)  # fmt: skip


class Names:
    """Short forms of ids: the first five characters, more only where two ids of the run would look alike.

    Args:
        texts: Everything that may contain an id.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        found = sorted({one for text in texts for one in _ID.findall(text)})
        self._sizes = {
            one: max(_SHORT, *(_common(one, other) + 1 for other in (before, after)))
            for before, one, after in zip(["", *found], found, [*found[1:], ""], strict=False)
        }

    def __call__(self, text: str) -> str:
        """The text with every id and every key in its short form."""
        text = _ID.sub(lambda found: found[0][: self._sizes.get(found[0], _SHORT)], text)
        return _KEY.sub(r"\1#\2", text)


def names_of(events: Iterable[Event], *more: str) -> Names:
    """Short forms of all ids in a run."""
    return Names([*(text for event in events for text in (event.what, event.detail)), *more])


def _common(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)


def wording(what: str, say: Say) -> str:
    """What the simulator calls it, in words for a person."""
    for pattern, spanish, english in _WORDS:
        what = pattern.sub(say(spanish, english), what)
    return what


def transitions(event: Event) -> list[tuple[str, list[str]]]:
    """What a commit changed: subject and its states in order, `["HELD", "AUTHORIZED"]`."""
    chains: list[tuple[str, list[str]]] = []
    for arrow in filter(None, event.detail.split(", ")):
        was, _, now = arrow.partition(" → ")
        subject, _, was = was.rpartition(" ")
        if chains and chains[-1][0] == subject and chains[-1][1][-1] == was:
            chains[-1][1].append(now)
        else:
            chains.append((subject, [was, now]))
    return chains


def path_of(states: Sequence[str], say: Say) -> str:
    """States as an arrow; to itself: another driver has taken over."""
    if len(set(states)) == 1:
        return f"{states[0]} ({say('retomada', 'taken over')})"
    return " → ".join(states)


def gist(event: Event, names: Names, say: Say) -> str:
    """What a message says, without what does not tell the story."""
    try:
        body = json.loads(event.detail) if event.detail else None
    except ValueError:
        body = event.detail[:40]
    return names(" · ".join(part for part in (wording(event.what, say), *_told(body, say)) if part))


def _told(body: object, say: Say) -> Iterator[str]:
    if isinstance(body, str):
        yield body
    elif isinstance(body, list):  # the provider's arguments: reference, amount, currency
        yield " ".join(str(one) for one in body[:1])
        if len(body) == 3:
            yield _money(body[1], body[2])
    elif isinstance(body, dict) and isinstance(body.get("items"), list):
        items = body["items"]
        for item in items[:3]:
            yield from _told(item, say)
        if len(items) > 3:
            yield f"+{len(items) - 3}"
    elif isinstance(body, dict):
        yield from _facts(body, say)


def _facts(body: Mapping[str, Any], say: Say) -> Iterator[str]:
    for name in ("code", "status", "state"):
        if isinstance(body.get(name), str):
            yield body[name]
            break
    if isinstance(body.get("reason"), str):
        yield body["reason"]
    if body.get("replayed") is True:
        yield say("repetida", "replayed")
    for group in (
        ("reservation_id", "hold_id", "payment_ref", "notification_id"),
        ("key", "user_id", "to"),
    ):
        yield next((str(body[name]) for name in group if body.get(name)), "")
    if "event_id" in body:
        yield f"{body['event_id']} ×{body['quantity']}" if "quantity" in body else body["event_id"]
    yield ",".join(body.get("seats") or ())
    money = body["total"] if isinstance(body.get("total"), dict) else body
    if money.get("amount_minor"):
        yield _money(money["amount_minor"], money.get("currency", ""))


def _money(minor: object, currency: object) -> str:
    return f"{int(str(minor)) / 100:.2f} {currency}"


def lines(events: Sequence[Event], say: Say, *, colour: bool = False) -> Iterator[str]:
    """The timeline: seconds, mark, number of the exchange, who and whom, what.

    Args:
        events: Of a run, or what `about` leaves of them.
        say: The language.
        colour: Whether to use the terminal's colours.
    """
    names = names_of(events)
    for event in events:
        number = f"#{event.number}" if event.number and event.whom else ""
        text = f"{event.at_s:9.3f} {_MARKS.get(event.kind, ' ')} {number:>5}  "
        text += _sentence(event, names, say)
        text = text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
        yield click.style(text, **_STYLES.get(event.kind, {})) if colour else text


def _sentence(event: Event, names: Names, say: Say) -> str:
    changed = ", ".join(
        f"{names(subject)} {path_of(states, say)}" for subject, states in transitions(event)
    ) if event.kind in ("commit", "disk") else ""  # fmt: skip
    if event.kind == "commit":
        return f"{event.who}: {changed or say('otro trabajo', 'other work')}"
    what = names(wording(event.what, say))
    if event.kind == "disk":
        disk = say(f"el disco de {event.whom}", f"the disk of {event.whom}")
        return f"{event.who}: {disk} {what}" + (f" ({changed})" if changed else "")
    if not event.whom:
        return f"{event.who}: {what}"
    there = f"{event.who} → {event.whom}"
    back = f"{event.whom} ⇢ {event.who}"
    if event.kind == "arrive":
        return f"{there:<{_PARTIES}} " + (what or say("llega", "arrives"))
    if event.kind == "answer":
        return f"{back:<{_PARTIES}} {what} {say('recibida', 'received')}"
    returns = event.kind in ("reply", "broken") or event.what.startswith("answer lost")
    said = gist(event, names, say) if event.kind in ("send", "reply") else what
    return f"{back if returns else there:<{_PARTIES}} {said}"


def about(events: Sequence[Event], subject: str) -> list[Event]:
    """What concerns one reservation, and the nemesis' acts, births and deaths in its lifetime.

    Of a commit over several reservations only its own part stays. Whoever only looks (GET) is left out.

    Args:
        events: Of a whole run, in order.
        subject: Its id or the beginning of it, a hold or payment reference (`ID.n`), its key; or a buyer, which means
            all of their reservations.
    """
    ids = _reservations(events, subject)
    chosen = _chosen(events, ids)
    if not chosen:
        return []
    born, ended = min(chosen), events[max(chosen)].at_s
    for index, event in enumerate(events):
        lasted = index >= born or event.at_s + _lasts_s(event) > events[born].at_s
        if _is_surroundings(event) and lasted and event.at_s <= ended:
            chosen[index] = event
    return [chosen[index] for index in sorted(chosen)]


def _chosen(events: Sequence[Event], ids: frozenset[str]) -> dict[int, Event]:
    numbers = _exchanges(events, ids)
    chosen: dict[int, Event] = {}
    inside: dict[str, set[int]] = defaultdict(set)  # exchanges that a process works on
    for index, event in enumerate(events):
        at_disk = event.kind in ("commit", "disk")
        message = bool(event.whom) and not at_disk and event.number in numbers
        own = _own_part(event, ids) if at_disk else None
        if message and event.kind == "arrive":
            inside[event.whom].add(event.number)
        elif message and event.kind == "reply":
            inside[event.whom].discard(event.number)
        elif event.kind == "die":
            inside[event.who].clear()
        # A full disk does not say whom it hits: whoever is served at the moment.
        nameless = event.kind == "disk" and not event.detail and bool(inside[event.who])
        if own is not None or message or nameless:
            chosen[index] = own or event
    return chosen


def _reservations(events: Sequence[Event], subject: str) -> frozenset[str]:
    found = set()
    start = subject.partition(".")[0]
    for event in events:
        body = _body(event) if event.kind == "send" else {}
        if subject in (body.get("key"), body.get("user_id")) and "reservation_id" in body:
            found.add(str(body["reservation_id"]))
        found |= {one for one in _RESERVATION.findall(event.detail) if one.startswith(start)}
    return frozenset(found)


def _exchanges(events: Sequence[Event], ids: frozenset[str]) -> set[int]:
    """Numbers of the exchanges that concern any of these reservations; whoever only looks does not count."""
    named: dict[int, set[str]] = defaultdict(set)
    orders: dict[int, str] = {}
    for event in events:
        if event.kind in ("send", "reply") and event.number:
            named[event.number] |= set(_RESERVATION.findall(f"{event.what} {event.detail}"))
        if event.kind == "send" and "user_id" in _body(event):
            orders[event.number] = event.detail
    # A host passes on what arrived in the same instant.
    for event, after in pairwise(events):
        passes_on = after.kind == "send" and after.who == event.whom and after.at_s == event.at_s
        if event.kind == "arrive" and passes_on and not named[event.number]:
            named[event.number] |= named[after.number]
    _adopt(named, orders)
    looks = {event.number for event in events if event.what.startswith("GET ")}
    return {number for number, its in named.items() if its & ids} - looks


def _adopt(named: dict[int, set[str]], orders: Mapping[int, str]) -> None:
    """What never reached the gateway belongs to the same buyer's nearest same order."""
    alike: dict[str, list[int]] = defaultdict(list)
    for number, order in orders.items():
        if named[number]:
            alike[order].append(number)
    for number, order in orders.items():
        if not named[number] and alike[order]:
            at = bisect_left(alike[order], number)
            near = alike[order][max(0, at - 1) : at + 1]
            named[number] |= named[min(near, key=lambda other: abs(other - number))]


def _own_part(event: Event, ids: frozenset[str]) -> Event | None:
    arrows = [one for one in event.detail.split(", ") if ids & set(_RESERVATION.findall(one))]
    return replace(event, detail=", ".join(arrows)) if arrows else None


def _is_surroundings(event: Event) -> bool:
    return event.kind in ("start", "die") or (event.kind == "fault" and not event.whom)


def _lasts_s(event: Event) -> float:
    found = _LASTS.search(event.what)
    return float(found[1] or found[2]) if found else 0.0


def _body(event: Event) -> Mapping[str, Any]:
    try:
        found = json.loads(event.detail or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
