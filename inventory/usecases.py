"""What inventory can be asked to do: the store plus the clock and the ids."""

from datetime import UTC, datetime, timedelta

from chassis.runtime import Runtime
from inventory.schemas import Hold, HoldRequest, HoldStatus
from inventory.settings import Settings
from inventory.store import Store


class Inventory:
    """The service object that routes use; one per app."""

    def __init__(self, store: Store, settings: Settings, runtime: Runtime) -> None:
        self.store = store
        self.settings = settings
        self.runtime = runtime


async def hold(inventory: Inventory, request: HoldRequest) -> Hold:
    """Set seats aside until now + `hold_ttl_s`; the same id gets the same hold again.

    Raises:
        EventNotFound, PriceChanged, SoldOut, SeatTaken, HoldGone: See `Store.hold`.
        StorageUnavailable: Unknown whether the seats are held.
    """
    now = inventory.runtime.now()
    row = await inventory.store.hold(
        request,
        token=inventory.runtime.new_id(),
        now=now.timestamp(),
        expires_at=(now + timedelta(seconds=inventory.settings.hold_ttl_s)).timestamp(),
    )
    return Hold(
        hold_id=row.hold_id,
        token=row.token,
        event_id=row.event_id,
        seats=row.seats,
        unit_price=row.unit_price,
        currency=row.currency,
        expires_at=datetime.fromtimestamp(row.expires_at, UTC).isoformat(),
        state="SOLD" if row.state == "SOLD" else "HELD",
    )


async def confirm(inventory: Inventory, hold_id: str, token: str) -> HoldStatus:
    """Sell a hold.

    Raises:
        HoldNotFound, HoldTokenStale, HoldGone: See `Store.confirm`.
        StorageUnavailable: Unknown whether it is sold.
    """
    state, seats = await inventory.store.confirm(
        hold_id, token, now=inventory.runtime.now().timestamp()
    )
    return HoldStatus(hold_id=hold_id, state=state, seats=seats)


async def release(inventory: Inventory, hold_id: str) -> HoldStatus:
    """Give a hold back, or leave a tombstone.

    Raises:
        StorageUnavailable: Unknown whether it is released.
    """
    state, seats = await inventory.store.release(hold_id, now=inventory.runtime.now().timestamp())
    return HoldStatus(hold_id=hold_id, state=state, seats=seats)
