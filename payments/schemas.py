"""Payments' wire models; their examples are what the docs page shows."""

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from chassis.values import MAX_AMOUNT_MINOR, NUMBER
from payments.domain import Status

_REF: Final = "r1f0c7d9a4b6e8325d17c09be2fa4d318.1"

PaymentRef = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$", examples=[_REF])]


def _shown(*examples: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": list(examples)})


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PayRequest(_In):
    """Authorize an amount; the reference makes a re-send safe."""

    model_config = _shown({"payment_ref": _REF, "amount_minor": 5000, "currency": "USD"})

    payment_ref: PaymentRef
    amount_minor: Annotated[int, Field(ge=1, le=MAX_AMOUNT_MINOR), NUMBER] = Field(
        description="Minor units."
    )
    currency: str = Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.")


class PaymentItem(_In):
    """One payment of a group."""

    payment_ref: PaymentRef


class CaptureRequest(_In):
    """Capture one payment (`payment_ref`) or a group of them (`items`): exactly one of the two."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"payment_ref": _REF},
                {"items": [{"payment_ref": _REF}, {"payment_ref": "r81d2b03c.1"}]},
            ],
            "oneOf": [
                {"required": [name], "properties": {name: {"type": kind}}}
                for name, kind in (("payment_ref", "string"), ("items", "array"))
            ],
        }
    )

    payment_ref: PaymentRef | None = None
    items: list[PaymentItem] | None = Field(None, min_length=1, max_length=256)

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        if (self.payment_ref is None) == (self.items is None):
            raise PydanticCustomError("one_or_items", "payment_ref or items")
        return self


class CancelRequest(_In):
    """Void or refund, whatever it takes; an unknown reference leaves a tombstone."""

    model_config = _shown({"payment_ref": _REF})

    payment_ref: PaymentRef


class PaymentView(BaseModel):
    """A payment as it stands. A tombstone has amount 0 and no currency."""

    model_config = _shown(
        {"payment_ref": _REF, "status": "authorized", "amount_minor": 5000, "currency": "USD"}
    )

    payment_ref: PaymentRef
    status: Status
    amount_minor: int
    currency: str


class CaptureResult(BaseModel):
    """What became of one payment of a group. `pending`: stored, the loop goes on with it."""

    payment_ref: PaymentRef
    status: Status | Literal["unknown"]


class CaptureResults(BaseModel):
    """One result per item, in the order asked."""

    model_config = _shown(
        {
            "items": [
                {"payment_ref": _REF, "status": "captured"},
                {"payment_ref": "r81d2b03c.1", "status": "pending"},
            ]
        }
    )

    items: list[CaptureResult]
