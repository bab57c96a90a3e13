"""Payments' settings."""

from pydantic import Field

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """How patient we are with the provider, and how slow the simulated one is."""

    port: int = Field(
        5003, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one."
    )
    provider_timeout_s: float = Field(
        30.0, gt=0, le=300, description="Seconds after which a provider call's outcome is unknown."
    )
    provider_latency_s: float = Field(
        0.0,
        ge=0,
        le=300,
        description="Seconds that the simulated provider waits before each action; below the time-out.",
    )
