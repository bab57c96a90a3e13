"""What is wrong with a field, in words: pydantic's error types as Spanish and English reasons."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from chassis.catalogue import Language, Text

_REASONS: Final[Mapping[str, Text]] = {
    "missing": Text("Falta este dato.", "This field is missing."),
    "extra_forbidden": Text("Este dato no se admite aquí.", "This field is not allowed here."),
    "string_type": Text("Debe ser texto.", "Must be text."),
    "string_too_short": Text(
        "Debe tener al menos {min_length} caracteres.",
        "Must have at least {min_length} characters.",
    ),
    "string_too_long": Text(
        "Debe tener como máximo {max_length} caracteres.",
        "Must have at most {max_length} characters.",
    ),
    "string_pattern_mismatch": Text(
        "No tiene el formato esperado.", "Does not have the expected format."
    ),
    "int_type": Text("Debe ser un número entero.", "Must be a whole number."),
    "int_parsing": Text("Debe ser un número entero.", "Must be a whole number."),
    "int_from_float": Text("Debe ser un número entero.", "Must be a whole number."),
    "float_type": Text("Debe ser un número.", "Must be a number."),
    "float_parsing": Text("Debe ser un número.", "Must be a number."),
    "decimal_type": Text("Debe ser un número.", "Must be a number."),
    "decimal_parsing": Text("Debe ser un número.", "Must be a number."),
    "decimal_max_places": Text(
        "Admite como máximo {decimal_places} decimales.", "Takes at most {decimal_places} decimals."
    ),
    "finite_number": Text("Debe ser un número finito.", "Must be a finite number."),
    "bool_type": Text("Debe ser verdadero o falso.", "Must be true or false."),
    "bool_parsing": Text("Debe ser verdadero o falso.", "Must be true or false."),
    "list_type": Text("Debe ser una lista.", "Must be a list."),
    "dict_type": Text("Debe ser un objeto.", "Must be an object."),
    "model_type": Text("Debe ser un objeto.", "Must be an object."),
    "model_attributes_type": Text("Debe ser un objeto.", "Must be an object."),
    "greater_than": Text("Debe ser mayor que {gt}.", "Must be greater than {gt}."),
    "greater_than_equal": Text("Debe ser {ge} como mínimo.", "Must be at least {ge}."),
    "less_than": Text("Debe ser menor que {lt}.", "Must be less than {lt}."),
    "less_than_equal": Text("Debe ser {le} como máximo.", "Must be at most {le}."),
    "too_short": Text(
        "Debe tener al menos {min_length} elementos.", "Must have at least {min_length} items."
    ),
    "too_long": Text(
        "Debe tener como máximo {max_length} elementos.", "Must have at most {max_length} items."
    ),
    "literal_error": Text("Debe ser uno de: {expected}.", "Must be one of: {expected}."),
    "enum": Text("Debe ser uno de: {expected}.", "Must be one of: {expected}."),
    "email": Text("No es una dirección de correo.", "Is not an e-mail address."),
    "one_or_items": Text(
        "Indica payment_ref o items, uno de los dos.", "Give payment_ref or items, one of the two."
    ),
    "duplicate_seats": Text("Hay asientos repetidos.", "Some seats are repeated."),
    "seats_and_quantity": Text(
        "La cantidad no coincide con los asientos elegidos.",
        "The quantity differs from the seats chosen.",
    ),
}

_UNKNOWN: Final = Text("Valor no válido.", "Invalid value.")


_FIELD_CHARACTERS: Final = 100


def _field(where: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in where[1:]) or str(where[0])


def validation_errors(details: Sequence[Mapping[str, Any]], lang: Language) -> list[dict[str, str]]:
    """`[{"field", "reason"}]` of pydantic's error list, in `lang`.

    The input itself is never echoed, and of a field's name, which may be the client's, no more than its beginning.
    """
    return [
        {
            "field": _field(detail["loc"])[:_FIELD_CHARACTERS],
            "reason": _REASONS.get(detail["type"], _UNKNOWN).render(lang, detail.get("ctx")),
        }
        for detail in details
    ]
