"""The generator: buyers in a closed loop, each purchase under a key of its own, every request in the journal.

They are worse than real ones: they come back within tenths of a second whatever `Retry-After` says, ask again under the
same key when they were left in doubt, change their minds, name wrong prices, and fight for the same named seats.
"""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import Any, Final

import httpx

from chaos.journal import Entry, Journal, Op, entry_of
from chaos.matrix.history import History

EVENT: Final = "festival-01"
"""The hall that nearly everybody wants; made large enough before."""

FOUGHT_OVER: Final = "concert-01"

_LIMIT_S: Final = 15.0
_AGAIN: Final = 3
"""How often a buyer asks again under the same key."""


@dataclass(frozen=True, slots=True)
class Order:
    """What one buyer wants."""

    key: str
    body: dict[str, Any]


class Crowd:
    """The buyers of one stage.

    Args:
        gateway_url: Where they buy.
        journal: Gets every request.
        history: Counts every answer.
        seed: Names every draw of every buyer.
        run: Makes keys differ from those of other runs.
    """

    def __init__(
        self, gateway_url: str, journal: Journal, history: History, *, seed: int, run: str
    ) -> None:
        self._url = gateway_url
        self._journal = journal
        self._history = history
        self._seed = seed
        self._run = run
        self._stop = asyncio.Event()
        # Taken from by every buyer that comes, so that no two have one name.
        self._count = 0

    async def buy(self, buyers: int) -> None:
        """So many buyers until `stop`; each finishes what it began."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(buyers):
                tasks.create_task(self._buyer(self._stop))

    def stop(self) -> None:
        """Nobody starts another purchase."""
        self._stop.set()

    async def storm(self, buyers: int, seconds: float) -> None:
        """So many more at once, for a while: more than the gateway takes."""
        enough = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, enough.set)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(buyers):
                tasks.create_task(self._buyer(enough))

    async def _buyer(self, stop: asyncio.Event) -> None:
        self._count += 1
        name = f"{self._run}-{self._count:03d}"
        lots = random.Random(f"{self._seed}:{name}")  # noqa: S311 - repeatable on purpose
        timeout = httpx.Timeout(_LIMIT_S, pool=None)
        async with httpx.AsyncClient(timeout=timeout, trust_env=False) as client:
            number = 0
            while not (stop.is_set() or self._stop.is_set()):
                number += 1
                entry = await self._purchase(client, name, _wish(name, number, lots), lots)
                if entry.outcome != "ok":
                    await _pause(stop, lots.uniform(0.05, 0.3))

    async def _purchase(
        self, client: httpx.AsyncClient, name: str, order: Order, lots: random.Random
    ) -> Entry:
        entry, token = await self._post(client, name, order)
        for _ in range(_AGAIN):
            in_doubt = entry.outcome == "info" or entry.status == 503
            if not in_doubt or lots.random() < 0.4:
                break
            await asyncio.sleep(lots.uniform(0.05, 0.5))
            entry, token = await self._post(client, name, order)
        if entry.outcome == "ok" and token and lots.random() < 0.05:
            await self._cancel(client, name, order, entry, token)
        return entry

    async def _post(
        self, client: httpx.AsyncClient, name: str, order: Order
    ) -> tuple[Entry, str | None]:
        began_s = self._journal.now_s()
        url = f"{self._url}/api/reserve"
        status, answer = await _ask(client, url, order.body, {"Idempotency-Key": order.key})
        entry = self._note("reserve", name, order, began_s, status, answer)
        return entry, answer.get("manage_token")

    async def _cancel(
        self, client: httpx.AsyncClient, name: str, order: Order, bought: Entry, token: str
    ) -> None:
        began_s = self._journal.now_s()
        url = f"{self._url}/api/reservations/{bought.reservation_id}/cancel"
        status, answer = await _ask(client, url, {}, {"X-Manage-Token": token})
        self._note(
            "cancel",
            name,
            order,
            began_s,
            status,
            {"reservation_id": bought.reservation_id, **answer},
        )

    def _note(
        self, op: Op, name: str, order: Order, began_s: float, status: int, answer: dict[str, Any]
    ) -> Entry:
        body = order.body
        asked = {
            "client": name,
            "key": order.key,
            "user_id": body["user_id"],
            "event_id": body["event_id"],
            "quantity": body["quantity"],
            "wanted": tuple(body.get("seats", ())),
        }
        code = str(answer.get("code") or answer.get("status") or "?")
        at_s = (began_s, self._journal.now_s())
        entry = entry_of(op, asked, answer, status=status, code=code, at_s=at_s)
        self._journal.note(entry)
        self._history.add(entry)
        return entry


def _wish(name: str, number: int, lots: random.Random) -> Order:
    body: dict[str, Any] = {"user_id": name, "event_id": EVENT, "quantity": 1}
    draw = lots.random()
    if draw < 0.03:
        row, place = lots.choice("ABCDEFGH"), lots.randint(1, 12)
        body |= {"event_id": FOUGHT_OVER, "seats": [f"{row}-{place:02d}"]}
    elif draw < 0.05:
        body["price"] = 1
    elif draw < 0.15:
        body["quantity"] = lots.randint(2, 3)
    return Order(f"matrix-{name}-{number:06d}", body)


async def _ask(
    client: httpx.AsyncClient, url: str, body: dict[str, Any], headers: dict[str, str]
) -> tuple[int, dict[str, Any]]:
    """Status and document; 0 and the failure's name when no answer came."""
    try:
        response = await client.post(url, json=body, headers=headers)
        found = response.json()
    except httpx.TransportError as error:
        return 0, {"code": type(error).__name__}
    except AttributeError:  # anyio's word for a connection that was reset while it was opened
        return 0, {"code": "ReadError"}
    except ValueError:
        return response.status_code, {"code": "nonsense"}
    answer = found if isinstance(found, dict) else {}
    replayed = response.headers.get("idempotent-replayed") == "true"
    return response.status_code, {**answer, "replayed": replayed}


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
