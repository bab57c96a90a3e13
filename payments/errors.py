"""Every refusal payments makes.

ServiceError
├── PaymentDeclined         the provider said no
├── PaymentCancelled        voided or being voided: no money moves any more
├── PaymentNotFound         a reference never seen
├── KeyReused               the reference was used with another amount or currency
└── ProviderUnknown         the provider gave no answer that decides anything: not final, the loop settles it
"""

from chassis.errors import ServiceError


class PaymentDeclined(ServiceError):
    """The provider declined the authorization."""

    code, status = "payment_declined", 402


class PaymentCancelled(ServiceError):
    """The payment cannot be authorized or captured any more."""

    code, status = "payment_cancelled", 409


class PaymentNotFound(ServiceError):
    """There never was such a payment."""

    code, status = "payment_not_found", 404


class KeyReused(ServiceError):
    """The same `payment_ref` came with another amount or currency."""

    code, status = "idempotency_key_reused", 422


class ProviderUnknown(ServiceError):
    """Whether the provider did it is unknown; the stored *_PENDING row is settled later."""

    code, status, final = "payments_unavailable", 503, False
    retry_after_s = 1.0
