"""Calls to inventory: the catalogue, and the lab's reset."""

from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from chassis.clients import InDoubt, NotSent, Refused, Upstream
from chassis.errors import BadUpstream
from gateway.clients.refusals import relayed
from gateway.errors import CatalogueUnavailable
from gateway.schemas import EventList, SeatList
from resilience import Breaker, Limit, Policy, Retry

READ: Final = Policy(
    attempt_s=0.8, retry=Retry(3), breaker=Breaker(open_cap_s=5.0), limit=Limit(fixed=16)
)
RESET: Final = Policy(attempt_s=2.0)

T = TypeVar("T", bound=BaseModel)


class Inventory:
    """Typed calls to inventory.

    Args:
        upstream: Its pool.
        lab_token: What the lab's reset demands, if anything.
    """

    def __init__(self, upstream: Upstream, lab_token: str | None = None) -> None:
        self._lab = {"authorization": f"Bearer {lab_token}"} if lab_token else {}
        self._read = upstream.edge("read", READ)
        self._reset = upstream.edge("reset", RESET)

    async def events(self) -> EventList:
        """Every event with its seats by state.

        Raises:
            CatalogueUnavailable: No answer.
        """
        return await self._get("/events", EventList)

    async def seats(self, event_id: str) -> SeatList:
        """Every seat of an event.

        Raises:
            EventNotFound: No such event.
            CatalogueUnavailable: No answer.
        """
        return await self._get(f"/events/{event_id}/seats", SeatList)

    async def reset(self, event_id: str, seats: int) -> None:
        """Lab: leave exactly `seats` free seats.

        Raises:
            EventNotFound, EventBusy: Inventory decided against it.
            CatalogueUnavailable: No answer; repeating it is safe.
        """
        try:
            body = {"event_id": event_id, "seats": seats}
            await self._reset.post("/admin/reset", body, headers=self._lab)
        except Refused as refused:
            raise relayed(refused) from None
        except (NotSent, InDoubt):
            raise CatalogueUnavailable from None

    async def _get(self, path: str, shape: type[T]) -> T:
        try:
            return shape.model_validate(await self._read.get(path))
        except Refused as refused:
            raise relayed(refused) from None
        except ValidationError:
            raise BadUpstream from None
        except (NotSent, InDoubt) as error:
            wait_s = getattr(error.__cause__, "retry_after_s", None)
            raise CatalogueUnavailable(retry_after_s=wait_s) from None
