"""Every text that a person may read in an answer, in Spanish and English, by stable code.

Spanish is the default; English answers `Accept-Language: en` and `?lang=en`. Codes and field names are never
translated. A text says what happened, what it means for the buyer's money and seat, and what to do next.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final, Literal, NamedTuple

Language = Literal["es", "en"]

LANGUAGES: Final[tuple[Language, ...]] = ("es", "en")

language: ContextVar[Language] = ContextVar("language", default="es")
"""The language of the request being answered; set by the outermost middleware."""


class Text(NamedTuple):
    """One sentence in every language; `{placeholders}` are filled from the problem's extensions."""

    es: str
    en: str

    def render(self, lang: Language, values: Mapping[str, object] | None = None) -> str:
        """The sentence in `lang`; a placeholder without a value stays as it is."""
        template = self.en if lang == "en" else self.es
        return re.sub(
            r"\{(\w+)\}",
            lambda hole: _spoken((values or {}).get(hole[1], hole[0])),
            template,
        )


class Message(NamedTuple):
    """Title and detail of one problem code."""

    title: Text
    detail: Text


def _spoken(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def _m(title_es: str, title_en: str, detail_es: str, detail_en: str) -> Message:
    return Message(Text(title_es, title_en), Text(detail_es, detail_en))


PROBLEMS: Final[Mapping[str, Message]] = {
    "sold_out": _m("Agotado", "Sold out", "No hay asientos disponibles.", "No seats are left."),
    "seat_taken": _m(
        "Asiento ocupado",
        "Seat taken",
        "Estos asientos ya no están libres: {seats}. Elige otros; no se te cobró nada.",
        "These seats are no longer free: {seats}. Choose others; you were not charged.",
    ),
    "event_not_found": _m(
        "Evento desconocido",
        "Unknown event",
        "No existe el evento «{event_id}». Consulta GET /api/events.",
        "There is no event “{event_id}”. See GET /api/events.",
    ),
    "reservation_not_found": _m(
        "Reserva desconocida",
        "Unknown reservation",
        "No existe esa reserva. Revisa el identificador.",
        "There is no such reservation. Check the identifier.",
    ),
    "price_changed": _m(
        "El precio es otro",
        "The price differs",
        "El precio vigente es {price}. Confirma con ese precio; no se te cobró nada.",
        "The current price is {price}. Confirm with that price; you were not charged.",
    ),
    "payment_declined": _m(
        "Pago rechazado",
        "Payment declined",
        "Pago rechazado por el proveedor.",
        "The payment provider declined the payment.",
    ),
    "payment_timeout": _m(
        "El pago tardó demasiado",
        "The payment took too long",
        "El pago tardó demasiado y fue cancelado.",
        "The payment took too long and was cancelled.",
    ),
    "payment_cancelled": _m(
        "Pago anulado",
        "Payment cancelled",
        "Ese pago ya fue anulado; no se moverá dinero.",
        "That payment was cancelled; no money will move.",
    ),
    "payment_not_found": _m(
        "Pago desconocido", "Unknown payment", "No existe ese pago.", "There is no such payment."
    ),
    "inventory_unavailable": _m(
        "Inventario inactivo",
        "Inventory unavailable",
        "El servicio de inventario está inactivo.",
        "The inventory service is down. You were not charged; try again shortly.",
    ),
    "payments_unavailable": _m(
        "Pagos inactivo",
        "Payments unavailable",
        "El servicio de pagos está inactivo. No se te cobró nada; inténtalo de nuevo en un momento.",
        "The payments service is down. You were not charged; try again shortly.",
    ),
    "notifications_unavailable": _m(
        "Notificaciones inactivo",
        "Notifications unavailable",
        "El servicio de notificaciones está inactivo. Las reservas siguen; los correos salen cuando vuelva.",
        "The notifications service is down. Reservations go on; the mails leave when it is back.",
    ),
    "reservations_unavailable": _m(
        "Reservas inactivo",
        "Reservations unavailable",
        "El servicio de reservas está inactivo. Tu solicitud no llegó a él; inténtalo de nuevo en un momento.",
        "The reservations service is down. Your request never reached it; try again shortly.",
    ),
    "storage_unavailable": _m(
        "Almacenamiento inactivo",
        "Storage unavailable",
        "No se pudo guardar la reserva.",
        "The reservation could not be stored. This request moves no money; try again shortly with the same key.",
    ),
    "gateway_saturated": _m(
        "Gateway saturado",
        "Gateway saturated",
        "API Gateway saturado: demasiadas solicitudes en vuelo.",
        "API gateway saturated: too many requests in flight.",
    ),
    "rate_limited": _m(
        "Demasiadas solicitudes",
        "Too many requests",
        "Has hecho demasiadas solicitudes. Espera {retry_after_s} s y vuelve a intentarlo.",
        "You sent too many requests. Wait {retry_after_s} s and try again.",
    ),
    "deadline_exceeded": _m(
        "Se acabó el tiempo",
        "Deadline exceeded",
        "Se acabó el tiempo antes de empezar; no se hizo nada. Inténtalo de nuevo.",
        "Time ran out before anything was done. Try again.",
    ),
    "idempotency_key_reused": _m(
        "Clave reutilizada",
        "Key reused",
        "Esa Idempotency-Key ya se usó con otros datos. Usa una clave nueva.",
        "That Idempotency-Key was used with another body. Use a new key.",
    ),
    "invalid_idempotency_key": _m(
        "Clave no válida",
        "Invalid key",
        "Idempotency-Key debe tener de 16 a 128 caracteres visibles.",
        "Idempotency-Key must have 16 to 128 visible characters.",
    ),
    "request_in_progress": _m(
        "Solicitud en curso",
        "Request in progress",
        "Esa misma solicitud todavía se está procesando. Consulta su estado o repítela en un momento.",
        "That same request is still being processed. Ask for its state or repeat it shortly.",
    ),
    "reservation_in_progress": _m(
        "Reserva en curso",
        "Reservation in progress",
        "La reserva todavía no está confirmada; se podrá cancelar cuando lo esté.",
        "The reservation is not confirmed yet; it can be cancelled once it is.",
    ),
    "invalid_state": _m(
        "Estado no válido",
        "Invalid state",
        "La reserva está en un estado que no permite esa operación.",
        "The reservation is in a state that does not allow this.",
    ),
    "not_yours": _m(
        "No es tu reserva",
        "Not your reservation",
        "Falta la cabecera X-Manage-Token de esta reserva, o no es la suya.",
        "The X-Manage-Token header of this reservation is missing or wrong.",
    ),
    "hold_gone": _m(
        "Asientos liberados",
        "Hold gone",
        "Los asientos apartados ya se liberaron. No se te cobró nada; reserva de nuevo.",
        "The held seats were already released. You were not charged; reserve again.",
    ),
    "hold_token_stale": _m(
        "Token de apartado caduco",
        "Stale hold token",
        "El token no corresponde a ese apartado.",
        "The token does not belong to that hold.",
    ),
    "hold_not_found": _m(
        "Apartado desconocido", "Unknown hold", "No existe ese apartado.", "There is no such hold."
    ),
    "event_busy": _m(
        "Evento con apartados",
        "Event has open holds",
        "El evento tiene asientos apartados; repite el reinicio en un momento.",
        "The event has open holds; repeat the reset shortly.",
    ),
    "overloaded": _m(
        "Servicio saturado",
        "Service overloaded",
        "El servicio está saturado; no se hizo nada. Inténtalo de nuevo en un momento.",
        "The service is overloaded; nothing was done. Try again shortly.",
    ),
    "bad_upstream": _m(
        "Respuesta incorrecta",
        "Bad upstream answer",
        "Un servicio interno respondió algo incomprensible.",
        "An internal service gave an answer that makes no sense.",
    ),
    "audit_unavailable": _m(
        "Auditoría no disponible",
        "Audit unavailable",
        "Desde aquí no se ven las bases de datos (en contenedores cada servicio guarda la suya), o la auditoría tardó "
        "demasiado. Prueba «taquilla audit» donde estén.",
        "The databases cannot be seen from here (in containers every service keeps its own), or the audit took too "
        "long. Try “taquilla audit” where they are.",
    ),
    "fault_not_found": _m(
        "Fallo desconocido",
        "Unknown fault",
        "Este servicio no tiene ese fallo; GET /chaos los enumera.",
        "This service does not have that fault; GET /chaos lists them.",
    ),
    "service_crashed": _m(
        "Servicio caído",
        "Service crashed",
        "Un fallo de laboratorio simula que este servicio se ha caído.",
        "A lab fault makes this service look crashed.",
    ),
    "service_down": _m(
        "Servicio apagado",
        "Service down",
        "Un fallo de laboratorio simula que este servicio está apagado.",
        "A lab fault makes this service look switched off.",
    ),
    "service_failed": _m(
        "Servicio averiado",
        "Service failed",
        "Un fallo de laboratorio hace que este servicio responda con error.",
        "A lab fault makes this service answer with an error.",
    ),
    "unauthorized": _m(
        "Sin autorización",
        "Unauthorized",
        "Falta una credencial válida: Authorization: Bearer con el CHAOS_TOKEN del laboratorio, el ADMIN_TOKEN o "
        "el token de un servicio.",
        "A valid credential is missing: Authorization: Bearer with the lab's CHAOS_TOKEN, the ADMIN_TOKEN or a "
        "service's token.",
    ),
    "forbidden": _m(
        "Prohibido",
        "Forbidden",
        "Esa credencial no permite esto.",
        "That credential does not allow this.",
    ),
    "not_found": _m(
        "No existe", "Not found", "No existe esa dirección.", "There is nothing at this address."
    ),
    "method_not_allowed": _m(
        "Método no permitido",
        "Method not allowed",
        "Esa dirección no admite ese método.",
        "This address does not take that method.",
    ),
    "internal_error": _m(
        "Error interno",
        "Internal error",
        "Algo falló de nuestro lado. Indica el request_id al pedir ayuda.",
        "Something failed on our side. Quote the request_id when asking for help.",
    ),
    "invalid_request": _m(
        "Datos no válidos",
        "Invalid request",
        "Hay datos que corregir; «errors» dice cuáles y por qué.",
        "Some data needs correcting; “errors” says which and why.",
    ),
    "malformed_json": _m(
        "JSON mal formado",
        "Malformed JSON",
        "El cuerpo no es JSON válido.",
        "The body is not valid JSON.",
    ),
    "payload_too_large": _m(
        "Cuerpo demasiado grande",
        "Payload too large",
        "El cuerpo supera los {limit_bytes} bytes admitidos.",
        "The body exceeds the {limit_bytes} bytes allowed.",
    ),
    "unsupported_media_type": _m(
        "Tipo de contenido no admitido",
        "Unsupported media type",
        "El cuerpo debe ser JSON y anunciarse con Content-Type: application/json.",
        "The body has to be JSON and announced by Content-Type: application/json.",
    ),
    "malformed_request": _m(
        "Petición mal formada",
        "Malformed request",
        "Lo recibido no es una petición HTTP/1.1 válida, o se podría leer de dos maneras. No se hizo nada.",
        "What was received is no valid HTTP/1.1 request, or could be read in two ways. Nothing was done.",
    ),
    "uri_too_long": _m(
        "Dirección demasiado larga",
        "URI too long",
        "La dirección supera los {limit_bytes} bytes admitidos.",
        "The address exceeds the {limit_bytes} bytes allowed.",
    ),
    "headers_too_large": _m(
        "Cabeceras demasiado grandes",
        "Headers too large",
        "Se admiten {limit_fields} cabeceras y {limit_bytes} bytes en total.",
        "At most {limit_fields} header fields and {limit_bytes} bytes of them are read.",
    ),
    "request_timeout": _m(
        "La petición tardó en llegar",
        "Request timeout",
        "La petición no llegó completa a tiempo; no se hizo nada. Envíala de nuevo.",
        "The request did not arrive whole in time; nothing was done. Send it again.",
    ),
    "too_many_connections": _m(
        "Demasiadas conexiones",
        "Too many connections",
        "Desde tu dirección hay demasiadas conexiones abiertas. Cierra algunas y vuelve a intentarlo.",
        "Too many connections are open from your address. Close some and try again.",
    ),
    "user_busy": _m(
        "Demasiadas reservas a la vez",
        "Too many reservations at once",
        "Ya hay {limit} reservas de este usuario en curso. Espera a que terminen y vuelve a intentarlo.",
        "{limit} reservations of this user are being made already. Wait for them to end and try again.",
    ),
}
"""The catalogue of refusals; `docs/errors.md` lists them, a test keeps both in step."""

MESSAGES: Final[Mapping[str, Text]] = {
    "confirmed": Text("Reserva confirmada.", "Reservation confirmed."),
    "pending": Text(
        "Tu solicitud está en curso. Te avisaremos por correo del resultado; todavía no es una plaza segura.",
        "Your request is being processed. You will get the outcome by e-mail; it is not a seat yet.",
    ),
    "refunding": Text(
        "Reserva cancelada; la devolución está en curso.",
        "Reservation cancelled; the refund is on its way.",
    ),
    "refunded": Text(
        "Reserva cancelada y dinero devuelto.", "Reservation cancelled and money returned."
    ),
    "cancelled": Text(
        "La reserva no se hizo; no se te cobró nada.",
        "The reservation was not made; you were not charged.",
    ),
    "mail_later": Text(
        "El correo de confirmación todavía no salió; se reintentará.",
        "The confirmation e-mail is not out yet; it will be retried.",
    ),
    "mail_dead": Text(
        "El correo no se pudo entregar: la dirección fue rechazada. La reserva no depende de él.",
        "The e-mail could not be delivered: the address was refused. The reservation does not depend on it.",
    ),
}
"""Texts of answers that are no refusals."""
