"""Inventory's settings."""

from pydantic import Field

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """How long seats stay held."""

    port: int = Field(
        5002, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one."
    )
    hold_ttl_s: float = Field(20.0, gt=0, le=86_400, description="Seconds a hold is promised for.")
    hold_grace_s: float = Field(
        5.0, ge=0, le=3600, description="Seconds after the promise before an expired hold is freed."
    )
    sweep_pause_s: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="Seconds without expiry after a start or a clock jump: sales in flight get to confirm first.",
    )
