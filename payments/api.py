"""Payments' routes: parse, call, render."""

from functools import cache
from typing import Annotated, Final

from fastapi import APIRouter, Depends

from chassis.errors import StorageUnavailable
from chassis.fastpath import running
from chassis.openapi import leads_to, refusals
from payments import usecases
from payments.domain import CANCELLED, PaymentState, status_of
from payments.errors import (
    KeyReused,
    PaymentCancelled,
    PaymentDeclined,
    PaymentNotFound,
    ProviderUnknown,
)
from payments.schemas import (
    CancelRequest,
    CaptureRequest,
    CaptureResult,
    CaptureResults,
    PaymentRef,
    PaymentView,
    PayRequest,
)
from payments.store import PaymentRow
from payments.usecases import Payments

Svc = Annotated[Payments, Depends(running)]


_NEXT: Final = {
    "capture": leads_to("capture_capture_post", body={"payment_ref": "payment_ref"}),
    "cancel": leads_to("cancel_cancel_post", body={"payment_ref": "payment_ref"}),
    "look": leads_to("payment_payments__payment_ref__get", {"payment_ref": "payment_ref"}),
}


def _view(row: PaymentRow) -> PaymentView:
    return PaymentView(
        payment_ref=row.payment_ref,
        status=status_of(row.state),
        amount_minor=row.amount_minor,
        currency=row.currency,
    )


@cache
def routes() -> APIRouter:
    """All routes."""
    router = APIRouter(tags=["payments"])

    @router.post(
        "/pay",
        summary="Autorizar un pago · Authorize a payment",
        description="Aparta dinero bajo una referencia, sin cobrarlo; repetir la referencia es "
        "seguro · Sets money aside under a reference without taking it; repeating the reference is "
        "safe.",
        response_description="Autorizado · Authorized",
        responses={
            200: {"links": _NEXT},
            **refusals(
                PaymentDeclined, PaymentCancelled, KeyReused, ProviderUnknown, StorageUnavailable
            ),
        },
    )
    async def pay(svc: Svc, request: PayRequest) -> PaymentView:
        return _authorized(
            await usecases.pay(svc, request.payment_ref, request.amount_minor, request.currency)
        )

    @router.post(
        "/capture",
        summary="Cobrar lo autorizado · Capture what was authorized",
        description="Cobra uno o varios pagos autorizados; en grupo, cada uno con su resultado · "
        "Takes one or several authorized payments; in a group each has its own result.",
        response_description="Cobrado · Captured",
        responses=refusals(PaymentCancelled, PaymentNotFound, ProviderUnknown, StorageUnavailable),
    )
    async def capture(svc: Svc, request: CaptureRequest) -> PaymentView | CaptureResults:
        if request.items is not None:
            refs = [item.payment_ref for item in request.items]
            rows = await usecases.capture(svc, refs)
            return CaptureResults(items=[_result(ref, rows.get(ref)) for ref in refs])
        assert request.payment_ref is not None
        return _single(
            (await usecases.capture(svc, [request.payment_ref])).get(request.payment_ref)
        )

    @router.post(
        "/cancel",
        summary="Anular o devolver · Void or refund",
        description="Anula lo autorizado o devuelve lo cobrado, lo que toque; de una referencia "
        "desconocida deja una lápida, para que un `/pay` tardío no mueva dinero · Voids what was "
        "authorized or refunds what was captured; an unknown reference leaves a tombstone, so that "
        "a late `/pay` moves no money.",
        response_description="Cómo queda el pago · How the payment stands",
        responses=refusals(StorageUnavailable),
    )
    async def cancel(svc: Svc, request: CancelRequest) -> PaymentView:
        return _view(await usecases.cancel(svc, request.payment_ref))

    @router.get(
        "/payments/{payment_ref}",
        summary="Estado de un pago · State of a payment",
        description="Lo que nuestros libros dicen de una referencia, `<reserva>.<intento>` · What "
        "our books say of a reference, `<reservation>.<attempt>`.",
        response_description="El pago · The payment",
        responses=refusals(PaymentNotFound, StorageUnavailable),
    )
    async def payment(svc: Svc, payment_ref: PaymentRef) -> PaymentView:
        row = await svc.store.get(payment_ref)
        if row is None:
            raise PaymentNotFound
        return _view(row)

    return router


def _result(payment_ref: str, row: PaymentRow | None) -> CaptureResult:
    return CaptureResult(
        payment_ref=payment_ref, status="unknown" if row is None else status_of(row.state)
    )


def _authorized(row: PaymentRow) -> PaymentView:
    """The answer to /pay.

    Raises:
        PaymentDeclined, PaymentCancelled: No money is authorized.
    """
    if row.state is PaymentState.DECLINED:
        raise PaymentDeclined
    if row.state in CANCELLED:
        raise PaymentCancelled
    return _view(row)


def _single(row: PaymentRow | None) -> PaymentView:
    """The answer to a capture of one payment.

    Raises:
        PaymentNotFound, PaymentCancelled: There is nothing to capture.
        ProviderUnknown: Decided and stored, not acknowledged yet.
    """
    if row is None:
        raise PaymentNotFound
    if row.state in (*CANCELLED, PaymentState.DECLINED):
        raise PaymentCancelled
    if row.state in (PaymentState.AUTH_PENDING, PaymentState.CAPTURE_PENDING):
        raise ProviderUnknown
    return _view(row)
