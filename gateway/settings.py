"""Settings of the gateway; the environment variable is the field's name in capitals."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, Literal

from pydantic import Field, ValidationInfo, field_validator

from chassis.settings import ServiceSettings

LAB_SECRET: Final = "laboratorio-sin-secretos"  # noqa: S105 - public on purpose, refused outside the lab


class Settings(ServiceSettings):
    """Frozen settings of one gateway process."""

    port: int = Field(5000, ge=0, le=65535, description="TCP port to listen on.")
    reservations_url: str = Field("http://127.0.0.1:5001", description="Where reservations is.")
    inventory_url: str = Field("http://127.0.0.1:5002", description="Where inventory is.")
    payments_url: str = Field("http://127.0.0.1:5003", description="Where payments is.")
    notifications_url: str = Field("http://127.0.0.1:5004", description="Where notifications is.")
    gateway_url: str | None = Field(
        None,
        description="Own public address, for the lab's flood and race; 127.0.0.1:PORT if unset.",
    )
    gateway_limit: Literal["fixed", "adaptive"] | None = Field(
        None,
        description="In-flight limit: a constant, or one that follows the load. Unset: fixed in the lab and where "
        "the number is given, else adaptive.",
    )
    gateway_max_inflight: int = Field(
        5, ge=1, le=10_000, description="Reservations and cancellations in flight, if fixed."
    )
    gateway_rate_per_s: float = Field(
        0.0,
        ge=0,
        le=10_000,
        description="Reservations per second and client address; 0 sets no limit.",
    )
    gateway_rate_burst: int = Field(
        20,
        ge=1,
        le=10_000,
        description="Reservations that a client may send at once after a pause.",
    )
    gateway_user_max_inflight: int = Field(
        0,
        ge=0,
        le=1000,
        description="Reservations of one user_id in flight; one more is 429 user_busy. 0 sets no limit.",
    )
    trusted_proxies: str | None = Field(
        None,
        description="Addresses or networks, separated by commas, whose X-Forwarded-For is believed.",
    )
    reserve_deadline_s: float = Field(
        5.0, ge=1, le=60, description="Total time of a reservation or cancellation, seconds."
    )
    live_clients_max: int = Field(
        50, ge=1, le=10_000, description="Open live streams; more are refused with 503."
    )
    live_period_s: float = Field(
        0.5, gt=0, le=60, description="Seconds between two samples of the live stream."
    )
    id_secret: str = Field(
        LAB_SECRET,
        min_length=16,
        repr=False,
        description="Secret behind reservation ids; the same for every gateway, for ever.",
    )

    @field_validator("id_secret")
    @classmethod
    def _is_secret_outside_the_lab(cls, value: str, info: ValidationInfo) -> str:
        if value == LAB_SECRET and not info.data.get("chaos_enabled"):
            raise ValueError("set 16 or more random characters (the default is for the lab only)")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _names_networks(cls, value: str | None) -> str | None:
        _networks(value)
        return value

    @property
    def trusted_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The proxies that are believed."""
        return _networks(self.trusted_proxies)

    @property
    def is_limit_adaptive(self) -> bool:
        """Whether the in-flight limit follows the load."""
        if self.gateway_limit is not None:
            return self.gateway_limit == "adaptive"
        return not self.chaos_enabled and "gateway_max_inflight" not in self.model_fields_set

    def own_url(self) -> str:
        """Where this gateway can call itself."""
        return self.gateway_url or f"http://127.0.0.1:{self.port}"


def _networks(listed: str | None) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(one.strip()) for one in (listed or "").split(",") if one.strip())
