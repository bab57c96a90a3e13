"""What buyers were told: I7, I8, I9, I19, I21, I22, I23. Judged by their journal, against what became of it."""

from collections.abc import Iterable, Iterator
from typing import Final

from chaos.audit.books import Books
from chaos.audit.refusals import dishonest_refusals
from chaos.audit.register import seat_histories, why_not_linearizable
from chaos.audit.rule import Finding, Invariant
from chaos.journal import outcome_of

_KEYED: Final = "reservation.scope = journal.scope AND reservation.key = journal.key"

_ACKNOWLEDGED: Final = """
        WITH given_back AS (
            SELECT DISTINCT reservation_id FROM journal WHERE op = 'cancel' AND outcome IN ('ok', 'info')
        ),
        told AS (SELECT * FROM journal WHERE op = 'reserve' AND outcome = 'ok' AND code = 'confirmed')
        SELECT told.reservation_id, 'acknowledged, now ' || COALESCE(state, 'nowhere')
        FROM told LEFT JOIN reservation USING (reservation_id)
        WHERE state IS NOT 'CONFIRMED' AND NOT (
            state IS NOT NULL AND state IN ('REFUNDING', 'REFUNDED')
            AND told.reservation_id IN (SELECT reservation_id FROM given_back))
        UNION ALL
        SELECT told.reservation_id, 'told=' || told.event_id || told.seats || COALESCE(told.total_minor, 0)
            || ' stored=' || reservation.event_id || reservation.seats || COALESCE(reservation.quantity * unit_price, 0)
        FROM told JOIN reservation USING (reservation_id)
        WHERE json(told.seats) IS NOT json(reservation.seats)
            OR told.total_minor IS NOT reservation.quantity * unit_price
            OR told.event_id <> reservation.event_id OR told.user_id <> reservation.user_id
            OR told.quantity <> reservation.quantity
        UNION ALL
        SELECT reservation_id, 'told refunded, now ' || COALESCE(state, 'nowhere')
        FROM journal LEFT JOIN reservation USING (reservation_id)
        WHERE op = 'cancel' AND outcome = 'ok' AND code = 'refunded' AND state IS NOT 'REFUNDED'
        """

_REFUSED: Final = f"""
        SELECT journal.key, 'told ' || journal.code || ', confirmed as ' || reservation.reservation_id
        FROM journal JOIN final_refusal USING (code) JOIN reservation ON {_KEYED}
        WHERE op = 'reserve' AND reservation.reservation_id IN (SELECT reservation_id FROM ever_confirmed)
        UNION ALL
        SELECT journal.key, 'told ' || journal.code || ', stored ' || COALESCE(reservation.state || ' '
            || COALESCE(reason, '-'), 'nothing')
        FROM journal JOIN final_refusal USING (code) LEFT JOIN reservation ON {_KEYED}
        WHERE op = 'reserve' AND reason IS NOT journal.code
        UNION ALL
        SELECT journal.key, 'every answer a refusal (' || group_concat(DISTINCT journal.code) || '), confirmed as '
            || reservation.reservation_id
        FROM journal JOIN reservation ON {_KEYED}
        WHERE op = 'reserve' AND reservation.reservation_id IN (SELECT reservation_id FROM ever_confirmed)
        GROUP BY journal.scope, journal.key HAVING SUM(outcome <> 'fail') = 0
        UNION ALL
        SELECT reservation_id, 'refused for ' || reason || ', its hold is ' || COALESCE(hold.state, 'not stored')
        FROM reservation LEFT JOIN hold ON hold_id = reservation_id || '.' || attempt
        WHERE reservation.state = 'REFUSED' AND hold.state IS NOT 'REFUSED'
        """  # noqa: S608 - constants

_ONE_PER_KEY: Final = """
        SELECT scope || ' ' || key, 'reservations=' || COUNT(*) FROM reservation GROUP BY scope, key HAVING COUNT(*) > 1
        UNION ALL
        SELECT scope || ' ' || key, 'named=' || group_concat(DISTINCT reservation_id) FROM journal
        WHERE op = 'reserve' AND reservation_id <> '' GROUP BY scope, key HAVING COUNT(DISTINCT reservation_id) > 1
        UNION ALL
        SELECT scope || ' ' || key, 'answers=' || group_concat(DISTINCT told) FROM (
            SELECT scope, key, iif(outcome = 'ok', 'sold ' || seats || COALESCE(total_minor, 0), code) AS told
            FROM journal WHERE op = 'reserve' AND (code IN (SELECT code FROM final_refusal)
                OR (outcome = 'ok' AND code IN ('confirmed', 'refunded')))
        ) GROUP BY scope, key HAVING COUNT(DISTINCT told) > 1
        """

_NO_TRACE: Final = f"""
        SELECT journal.key, 'told ' || group_concat(DISTINCT journal.code) || ', row ' || reservation.reservation_id
        FROM journal JOIN reservation ON {_KEYED} WHERE op = 'reserve'
        GROUP BY journal.scope, journal.key
        HAVING SUM(NOT (outcome = 'fail' AND status IN (429, 503) AND journal.reservation_id = '')) = 0
        """  # noqa: S608 - constants


def _linearizable(books: Books) -> Iterator[Finding]:
    for seat, history in seat_histories(books).items():
        why = why_not_linearizable(history)
        if why is not None:
            yield Finding(f"{seat[0]} {seat[1]}", why)


def _well_formed(books: Books) -> Iterable[Finding]:
    for recording in books.recordings:
        ends: dict[str, float] = {}
        for number, entry in enumerate(sorted(recording.entries, key=lambda one: one.invoked_s)):
            where = f"{recording.path.name} {entry.key or entry.reservation_id or number}"
            if entry.completed_s < entry.invoked_s:
                yield Finding(where, "answered before it was asked")
            if entry.outcome != outcome_of(entry.op, entry.status, entry.code):
                yield Finding(where, f"{entry.status} {entry.code} noted as {entry.outcome}")
            if entry.op == "read" and entry.code == "confirmed" and not entry.event_id:
                yield Finding(where, "seats seen, and no event named: nobody can judge that")
            if entry.client and entry.invoked_s < ends.get(entry.client, 0.0):
                yield Finding(where, f"client {entry.client} asked twice at once")
            ends[entry.client] = entry.completed_s


ANSWERS: Final = (
    Invariant(
        "I7",
        "acknowledged-is-kept",
        "Q",
        "journal",
        "Toda reserva que se anunció confirmada lo sigue estando (o se devolvió a petición), mismos asientos y precio.",
        "Every reservation announced as confirmed still is (or was given back on request): same seats, same price.",
        _ACKNOWLEDGED,
        by_journal=True,
    ),
    Invariant(
        "I8",
        "refused-is-kept",
        "Q",
        "reservation",
        "Todo rechazo definitivo quedó escrito con su motivo y nunca fue una venta; "
        "tampoco una clave a la que solo se dijo que no.",
        "Every final refusal is stored with its reason and never was a sale; nor was a key that only heard no.",
        _REFUSED,
    ),
    Invariant(
        "I9",
        "one-per-key",
        "A",
        "reservation",
        "Por clave una sola reserva, y todas las respuestas definitivas iguales.",
        "One reservation per key, and all its final answers equal.",
        _ONE_PER_KEY,
    ),
    Invariant(
        "I19",
        "refusals-are-honest",
        "Q",
        "journal",
        "Quien oyó «agotado» u «ocupado» lo oyó en un instante en que era cierto.",
        "Whoever heard sold out, or taken, heard it at an instant at which it was so.",
        dishonest_refusals,
        by_journal=True,
    ),
    Invariant(
        "I21",
        "turned-away-leaves-nothing",
        "Q",
        "journal",
        "Un 429 o 503 sin reservation_id no dejó rastro.",
        "A 429 or 503 without a reservation_id left no row.",
        _NO_TRACE,
        by_journal=True,
    ),
    Invariant(
        "I22",
        "seats-linearizable",
        "Q",
        "journal",
        "Cada asiento se comporta como un registro: lo que los compradores oyeron cabe en un orden real.",
        "Every seat behaves as a register: what the buyers heard fits one order in real time.",
        _linearizable,
        by_journal=True,
    ),
    Invariant(
        "I23",
        "journal-well-formed",
        "A",
        "journal",
        "El diario está bien escrito: tiempos en orden, una petición por cliente a la vez, "
        "ningún silencio anotado como fallo.",
        "The journal is well formed: times in order, one request per client at a time, no silence noted as a failure.",
        _well_formed,
        by_journal=True,
    ),
)
"""I7, I8, I9, I19, I21, I22, I23."""
