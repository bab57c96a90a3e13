"""Notifications' settings."""

from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from chassis.settings import ServiceSettings


class Settings(ServiceSettings):
    """Where mail goes, and what its links point to."""

    port: int = Field(
        5004, ge=0, le=65535, description="TCP port to listen on; 0 picks a free one."
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="smtp://[user:password@]host[:port] or smtps://…; unset keeps all mail in the mailbox.",
    )
    mail_from: str = Field(
        "taquilla@localhost",
        pattern=r"^[^@\s<>,]+@[^@\s<>,]+$",
        description="Sender address of every mail.",
    )
    mail_lease_s: float = Field(
        30.0,
        ge=1,
        le=600,
        description="Seconds until a sender that did not come back is taken for dead; an attempt gets two thirds.",
    )
    gateway_url: str = Field(
        "http://127.0.0.1:5000",
        pattern=r"^https?://\S+$",
        description="Where buyers reach the gateway: the links in the mails.",
    )

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.port == 0:
                raise ValueError("must look like smtp://[user:password@]host[:port]")
        return value
