"""Sagas and their logs: I6 and I18. Everything reaches an end, by legal steps only."""

from typing import Final

from chaos.audit.rule import Invariant

_LOGS: Final = (
    # table, id, machine, order within the id, the word that made the step, table of the present state
    ("hold_log", "hold_id", "hold", "seq", "NULL", "hold"),
    ("payment_log", "payment_ref", "payment", "version", "event", "payment"),
    ("message_log", "notification_id", "message", "seq", "event", "message"),
)


def _walk(table: str, key: str, machine: str, order: str, word: str, now: str) -> str:
    """SQL for: each step starts where the last one ended, is legal, and the last one led to the present state."""
    return f"""
        SELECT {key}, 'log ' || COALESCE(was, '-') || ', then ' || COALESCE(from_state, '-') || '>' || to_state FROM (
            SELECT {key}, from_state, to_state, LAG(to_state) OVER (PARTITION BY {key} ORDER BY {order}) AS was
            FROM {table}
        ) WHERE from_state IS NOT was
        UNION ALL
        SELECT {key}, 'illegal ' || COALESCE(from_state, '-') || '>' || to_state || COALESCE(' by ' || {word}, '')
        FROM {table} WHERE NOT EXISTS (
            SELECT 1 FROM arrow WHERE machine = '{machine}' AND arrow.from_state IS {table}.from_state
                AND arrow.to_state = {table}.to_state AND (arrow.word IS NULL OR arrow.word = {word}))
        UNION ALL
        SELECT {now}.{key}, 'state=' || state || ' log=' || COALESCE(last.to_state, '-') FROM {now} LEFT JOIN (
            SELECT {key}, to_state, MAX({order}) FROM {table} GROUP BY {key}) AS last USING ({key})
        WHERE state IS NOT last.to_state
        UNION ALL
        SELECT DISTINCT {key}, 'a log without a row' FROM {table}
        WHERE NOT EXISTS (SELECT 1 FROM {now} WHERE {now}.{key} = {table}.{key})
        """  # noqa: S608 - constants


_SAGA: Final = """
        SELECT reservation_id, 'version=' || version || ' place=' || place FROM step WHERE version <> place
        UNION ALL
        SELECT reservation_id, 'log ' || COALESCE(was, '-') || ', then ' || COALESCE(from_state, '-') || '>' || to_state
        FROM step WHERE from_state IS NOT was
        UNION ALL
        SELECT reservation_id, 'illegal ' || COALESCE(from_state, '-') || '>' || to_state || ' by ' || step
        FROM step WHERE NOT EXISTS (
            SELECT 1 FROM arrow WHERE machine = 'saga' AND arrow.from_state IS step.from_state
                AND arrow.to_state = step.to_state AND (arrow.word IS NULL OR arrow.word = step.step))
        UNION ALL
        SELECT reservation_id, 'attempt=' || attempt || ' after ' || attempt_before FROM step
        WHERE attempt <> COALESCE(attempt_before, 0) + (from_state IS NULL OR from_state = 'UNAVAILABLE')
        UNION ALL
        SELECT reservation.reservation_id, 'state=' || state || ' version=' || version || ' log='
            || COALESCE(last.to_state, '-') || ' to ' || COALESCE(last.at, 0)
        FROM reservation LEFT JOIN (
            SELECT saga, to_state, MAX(version) AS at FROM step GROUP BY saga
        ) AS last USING (saga) WHERE state IS NOT last.to_state OR version IS NOT last.at
        UNION ALL
        SELECT DISTINCT 'saga ' || saga, 'a log without a row' FROM saga_log
        WHERE NOT EXISTS (SELECT 1 FROM reservation WHERE reservation.saga = saga_log.saga)
        UNION ALL
        SELECT payment_ref, 'version=' || payment.version || ' log=' || MAX(payment_log.version)
            || ' lines=' || COUNT(*)
        FROM payment JOIN payment_log USING (payment_ref) GROUP BY payment_ref
        HAVING MAX(payment_log.version) <> payment.version OR COUNT(*) <> payment.version
        """

SAGAS: Final = (
    Invariant(
        "I6",
        "nothing-open",
        "Q",
        "reservation",
        "Ninguna reserva está a medias (con o sin conductor vivo) y ningún asiento sigue apartado.",
        "No reservation is half-way, with or without a living driver, and no seat is still held.",
        """
        SELECT reservation_id, 'state=' || state || ' lease=' || iif(lease_until > :now, 'alive', 'dead')
            || ' tries=' || tries FROM reservation
        WHERE state NOT IN
            ('CONFIRMED', 'REFUNDED', 'REFUSED', 'DECLINED', 'PAYMENT_TIMEOUT', 'UNAVAILABLE', 'CANCELLED')
        UNION ALL
        SELECT hold_id, 'hold=HELD seats=' || seats FROM hold WHERE state = 'HELD'
        """,
    ),
    Invariant(
        "I18",
        "logs-are-legal",
        "A",
        "saga_log",
        "Cada bitácora: versiones 1..n sin huecos, cada flecha permitida, y termina en el estado actual.",
        "Every log: versions 1..n without a gap, every arrow legal, and it ends in the present state.",
        f"""
        WITH step AS (
            SELECT saga_log.*, reservation_id, ROW_NUMBER() OVER one AS place, LAG(to_state) OVER one AS was,
                LAG(saga_log.attempt) OVER one AS attempt_before
            FROM saga_log JOIN reservation USING (saga) WHERE saga_log.version IS NOT NULL
            WINDOW one AS (PARTITION BY saga ORDER BY saga_log.version)
        )
        {_SAGA} UNION ALL {" UNION ALL ".join(_walk(*log) for log in _LOGS)}
        """,  # noqa: S608 - constants
    ),
)
"""I6 and I18."""
