"""The settings of reservations."""

from pydantic import Field

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """Who is called, and how long things may take."""

    port: int = Field(
        5001, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one."
    )
    inventory_url: str = Field("http://127.0.0.1:5002", description="Where inventory listens.")
    payments_url: str = Field("http://127.0.0.1:5003", description="Where payments listens.")
    notifications_url: str = Field(
        "http://127.0.0.1:5004", description="Where notifications listens."
    )
    reserve_deadline_s: float = Field(
        5.0, gt=0.5, le=60, description="Seconds for a reservation whose caller sends no deadline."
    )
    answer_margin_s: float = Field(
        0.3, ge=0, le=5, description="Answer this many seconds before the deadline."
    )
    lease_s: float = Field(30.0, gt=0, le=600, description="Seconds a saga belongs to its driver.")
    orchestrators: int = Field(
        1,
        ge=1,
        le=16,
        description="Processes on this database; above 1 a foreign lease is waited out.",
    )
    recovery_concurrency: int = Field(16, ge=1, le=256, description="Sagas recovered at once.")
