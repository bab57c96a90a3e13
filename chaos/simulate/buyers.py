"""Buyers on virtual time, and the journal of what they asked for and were told.

Worse than real ones: impatient, back within a moment under the same key, with the same order open in two tabs, fighting
for the same seats, changing their minds.
"""

import asyncio
import json
import random
from typing import Any, Final

import httpx

from chaos.journal import Entry, Op, entry_of
from chaos.simulate.loop import SimulationLoop
from chaos.simulate.nemesis import BUYERS
from chaos.simulate.network import Network, Wire
from chaos.simulate.scenario import EVENT, OTHER_EVENT, Scenario
from chaos.simulate.tally import Tally

_AGAIN: Final = 3
"""How often a buyer asks again under the same key."""


class Crowd:
    """All buyers of a run.

    Args:
        scenario: Who they are.
        network: Their way to the gateway.
        loop: The run's.
        tally: Counts what they hear.
        muted: Buyers (`buyer 3`) who stay at home, for shrinking.

    Attributes:
        entries: The journal, in the order of the answers.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        network: Network,
        loop: SimulationLoop,
        tally: Tally,
        muted: frozenset[str],
    ) -> None:
        self.entries: list[Entry] = []
        self._scenario = scenario
        self._wire = Wire(network, BUYERS)
        self._loop = loop
        self._tally = tally
        self._muted = muted
        self._requests = 0

    def names(self) -> list[str]:
        """Of the buyers who come."""
        everybody = (f"buyer {number}" for number in range(1, self._scenario.buyers + 1))
        return [name for name in everybody if name not in self._muted]

    async def buy(self) -> None:
        """Until every buyer has what they wanted, or has given up."""
        strangers = range(1, self._scenario.strangers + 1)
        await asyncio.gather(
            *(self._buyer(name) for name in self.names()), *(self._stranger(n) for n in strangers)
        )

    async def count(self) -> None:
        """Take down how many seats there are."""
        began_s = self._loop.now_s
        status, answer = await self._ask("GET", "/api/events", {})
        for event in answer.get("events", ()):
            seen = {
                "event_id": event["event_id"],
                "capacity": event["available"] + event["held"] + event["sold"],
                "free": event["available"],
            }
            self._note("count", seen, began_s, status, answer)

    async def _buyer(self, name: str) -> None:
        scenario = self._scenario
        lots = random.Random(f"{name}:{scenario.seed}")
        await asyncio.sleep(0.2 + lots.random() * scenario.window_s)
        for number in range(1, scenario.purchases + 1):
            order = self._order(name, lots)
            key = f"{name.replace(' ', '-')}-purchase-{number}"
            tab = None
            if lots.random() < 0.1:
                tab = asyncio.create_task(self._reserve(f"{name}, other tab {number}", order, key))
            await self._purchase(name, order, key, lots)
            if tab is not None:
                await tab

    async def _stranger(self, number: int) -> None:
        """Somebody else's client of inventory holds a seat and goes away."""
        lots = random.Random(f"stranger {number}:{self._scenario.seed}")
        await asyncio.sleep(0.2 + lots.random() * self._scenario.window_s)
        order = {"hold_id": f"stray.{number}", "event_id": EVENT, "quantity": 1}
        await self._ask("POST", "/reserve", {}, order, host="inventory")

    async def _purchase(
        self, name: str, order: dict[str, Any], key: str, lots: random.Random
    ) -> None:
        entry, token = await self._reserve(name, order, key)
        for _ in range(_AGAIN):
            if entry.outcome == "ok" or entry.status in (402, 404) or lots.random() < 0.3:
                break
            await asyncio.sleep(lots.random() * 2.0)
            entry, token = await self._reserve(name, order, key)
        if entry.outcome != "ok" or token is None:
            return
        if lots.random() < 0.2:
            await self._look(name, entry)
        if lots.random() < 0.3:
            for _ in range(lots.randint(1, 2)):
                await asyncio.sleep(lots.random() * lots.choice((0.05, 2.0)))
                await self._cancel(name, entry.reservation_id, token)
                if lots.random() < 0.5:
                    await self._look(name, entry)

    def _order(self, name: str, lots: random.Random) -> dict[str, Any]:
        event = EVENT if lots.random() < 0.75 else OTHER_EVENT
        body: dict[str, Any] = {"user_id": name.replace(" ", "-"), "event_id": event, "quantity": 1}
        draw = lots.random()
        if draw < 0.15:
            body["seats"] = [f"A-{lots.randint(1, 4):02d}"]
        elif draw < 0.3:
            body["quantity"] = lots.randint(2, 3)
        elif draw < 0.33:
            body["price"] = 1
        elif draw < 0.35:
            body["event_id"] = "no-such-event"
        return body

    async def _reserve(
        self, name: str, order: dict[str, Any], key: str
    ) -> tuple[Entry, str | None]:
        began_s = self._loop.now_s
        headers = {"idempotency-key": key}
        status, answer = await self._ask("POST", "/api/reserve", headers, order)
        asked = {
            "client": name,
            "key": key,
            "user_id": order["user_id"],
            "event_id": order["event_id"],
            "quantity": order["quantity"],
            "wanted": tuple(order.get("seats", ())),
        }
        entry = self._note("reserve", asked, began_s, status, answer)
        self._tally.answers[f"{entry.status} {entry.code}"] += 1
        return entry, answer.get("manage_token")

    async def _cancel(self, name: str, reservation_id: str, token: str) -> None:
        began_s = self._loop.now_s
        path = f"/api/reservations/{reservation_id}/cancel"
        status, answer = await self._ask("POST", path, {"x-manage-token": token}, {})
        asked = {"client": name, "reservation_id": reservation_id}
        self._note("cancel", asked, began_s, status, answer)

    async def _look(self, name: str, bought: Entry) -> None:
        began_s = self._loop.now_s
        status, answer = await self._ask("GET", f"/api/reservations/{bought.reservation_id}", {})
        asked = {
            "client": name,
            "reservation_id": bought.reservation_id,
            "event_id": bought.event_id,
        }
        self._note("read", asked, began_s, status, answer)

    async def _ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: object = None,
        *,
        host: str = "gateway",
    ) -> tuple[int, dict[str, Any]]:
        """Status and document; 0 and the failure's name when no answer came."""
        self._requests += 1
        headers |= {"x-request-id": f"buyers-{self._requests:06d}"}
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            headers["content-type"] = "application/json"
        request = httpx.Request(method, f"http://{host}{path}", headers=headers, content=content)
        try:
            async with asyncio.timeout(self._scenario.patience_s):
                response = await self._wire.handle_async_request(request)
            found = response.json()
        except TimeoutError:
            return 0, {"code": "ReadTimeout"}
        except httpx.TransportError as error:
            return 0, {"code": type(error).__name__}
        except ValueError:
            return response.status_code, {"code": "nonsense"}
        answer = found if isinstance(found, dict) else {}
        replayed = response.headers.get("idempotent-replayed") == "true"
        return response.status_code, {**answer, "replayed": replayed}

    def _note(
        self, op: Op, asked: dict[str, Any], began_s: float, status: int, answer: dict[str, Any]
    ) -> Entry:
        code = str(answer.get("code") or answer.get("status") or "?")
        at_s = (began_s, self._loop.now_s)
        entry = entry_of(op, asked, answer, status=status, code=code, at_s=at_s)
        self.entries.append(entry)
        return entry
