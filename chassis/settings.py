"""The settings every service has. One rule: the environment variable is the field's name in capitals.

Each service subclasses `ServiceSettings` in its own `settings.py`; nothing else reads the environment.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """Frozen settings shared by all five services; unknown variables are ignored."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(0, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one.")
    data_dir: Path = Field(Path("var"), description="Folder of this service's database files.")
    chaos_enabled: bool = Field(
        default=False,
        description="Lab mode: fault switches and lab routes exist. Off: they are 404.",
    )
    chaos_token: str | None = Field(
        None, repr=False, description="Bearer token that the fault switches demand, if set."
    )
    log_format: Literal["console", "json"] = Field(
        "console", description="Log lines for people or for machines."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level logged."
    )
    max_inflight: int = Field(
        32, ge=1, le=10_000, description="Requests in flight before this service sheds."
    )
    max_body_bytes: int = Field(
        65_536, ge=1024, description="Largest request body, bytes; more is 413."
    )
    receive_timeout_s: float = Field(
        10.0,
        gt=0,
        le=300,
        description="Seconds for a request's head; its body has as many and one more for each 1000 bytes. Then 408.",
    )
    max_connections: int = Field(
        1000, ge=1, le=100_000, description="Open connections; one more is refused with 503."
    )
    max_client_connections: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Open connections of one client address; one more is refused with 429. 0 sets no limit.",
    )
    wire: Literal["httpx", "own"] = Field(
        "own", description="Transport between services: our own, or stock httpx."
    )
    shutdown_grace_s: float = Field(
        5.0, gt=0, le=60, description="Seconds that running work has to finish."
    )
