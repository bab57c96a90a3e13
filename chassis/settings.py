"""The settings every service has. One rule: the environment variable is the field's name in capitals.

Each service subclasses `ServiceSettings` in its own `settings.py`; nothing else reads the environment.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator
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
        None, repr=False, description="Bearer token that everything of the lab demands, if set."
    )
    admin_token: str | None = Field(
        None,
        min_length=16,
        repr=False,
        description="Bearer token of operators: metrics, live values, mailbox, re-sending. A shop must have one.",
    )
    service_credentials: Path | None = Field(
        None,
        description="This service's credentials file: what it shows to whom it calls, and whom it lets in.",
    )
    lab_key: str | None = Field(
        None,
        repr=False,
        description="Public key of the lab in place of credentials; a shop refuses to start with one.",
    )
    service_auth: Literal["optional", "required"] | None = Field(
        None,
        description="Whether calls between services must say who calls. Unset: optional in the lab, else required.",
    )
    tls_dir: Path | None = Field(
        None,
        description="Folder with ca.pem, NAME.pem and NAME.key: calls between services go over mutual TLS.",
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

    @model_validator(mode="after")
    def _has_what_its_mode_takes(self) -> Self:
        if self.chaos_enabled:
            # The gateway asks the others how they are by its own name: an ADMIN_TOKEN alone would lock it out.
            asks = self.service_auth == "required" or self.admin_token is not None
            if asks and not (self.service_credentials or self.lab_key):
                raise ValueError(
                    "SERVICE_AUTH=required and ADMIN_TOKEN take SERVICE_CREDENTIALS or LAB_KEY, too"
                )
            return self
        if self.lab_key:
            raise ValueError(
                "LAB_KEY is public and for the lab only: unset it and set SERVICE_CREDENTIALS to this service's file "
                "(taquilla credentials DIR makes one for each)"
            )
        if self.service_auth == "optional":
            raise ValueError("SERVICE_AUTH=optional is for the lab only")
        return self

    @property
    def is_auth_required(self) -> bool:
        """Whether a call between services must say who calls."""
        return self.service_auth == "required" or not self.chaos_enabled

    def lacking(self) -> list[str]:
        """What a process needs besides to be a shop: one line per variable. Apps inside other programs do without."""
        if self.chaos_enabled:
            return []
        needed = {
            "SERVICE_CREDENTIALS": (
                self.service_credentials,
                "this service's file; taquilla credentials DIR makes one for each",
            ),
            "ADMIN_TOKEN": (self.admin_token, "16 or more random characters"),
        }
        return [
            f"{name}: a shop does not start without it: set it to {what}"
            for name, (value, what) in needed.items()
            if not value
        ]
