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
        None, description="Bearer token that the fault switches demand, if set."
    )
    log_format: Literal["console", "colour", "json"] = Field(
        "console",
        description="Log lines for people (coloured on a terminal, or always), or for machines.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level logged."
    )
    tracing: Literal["off", "otlp"] = Field(
        "off", description="Traces: none, or sent by OTLP as the standard `OTEL_*` variables say."
    )
    max_inflight: int = Field(
        32, ge=1, le=10_000, description="Requests in flight before this service sheds."
    )
    max_body_bytes: int = Field(
        65_536, ge=1024, description="Largest request body, bytes; more is 413."
    )
    wire: Literal["httpx", "own"] = Field(
        "own", description="Transport between services: our own, or stock httpx."
    )
    shutdown_grace_s: float = Field(
        5.0, gt=0, le=60, description="Seconds that running work has to finish."
    )
