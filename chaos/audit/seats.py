"""Seats and holds: I1 … I5. Nothing is sold twice, nothing is forgotten, and what is sold is what is confirmed."""

from typing import Final

from chaos.audit.rule import Invariant

HOLD_ALLOWANCE_S: Final = 120
"""Longest time a hold may outlive its promise: the shop's grace of 60 s, the sweep's pause of 30 s after a start, and
one more such pause."""

SEATS: Final = (
    Invariant(
        "I1",
        "seats-conserved",
        "A",
        "hold",
        "Cada evento: asientos = libres + apartados + vendidos; cada apartado vivo tiene justo los suyos.",
        "Per event seats = free + held + sold; every living hold owns exactly the seats it names.",
        """
        WITH owned AS (SELECT hold_id, COUNT(*) AS seats FROM seat WHERE hold_id IS NOT NULL GROUP BY hold_id)
        SELECT hold.hold_id, 'wanted=' || quantity || ' named=' || json_array_length(hold.seats)
            || ' owned=' || COALESCE(owned.seats, 0)
        FROM hold LEFT JOIN owned USING (hold_id)
        WHERE state IN ('HELD', 'SOLD')
            AND NOT (quantity = json_array_length(hold.seats) AND quantity = COALESCE(owned.seats, 0))
        UNION ALL
        SELECT hold.hold_id, 'seat=' || named.value || ' owner=' || COALESCE(seat.hold_id, 'nobody')
        FROM hold, json_each(hold.seats) AS named
            LEFT JOIN seat ON seat.event_id = hold.event_id AND seat.seat = named.value
        WHERE state IN ('HELD', 'SOLD') AND seat.hold_id IS NOT hold.hold_id
        """,
    ),
    Invariant(
        "I2",
        "one-owner",
        "A",
        "seat",
        "Ningún asiento está, ni estuvo nunca, en dos apartados vivos a la vez.",
        "No seat is, or ever was, in two living holds at once.",
        """
        WITH life AS (
            SELECT hold_id, MIN(seq) FILTER (WHERE to_state = 'HELD') AS born,
                MAX(seq) FILTER (WHERE to_state IN ('RELEASED', 'EXPIRED')) AS died
            FROM hold_log GROUP BY hold_id
        ),
        owner AS (
            SELECT event_id, named.value AS seat, hold_id, born, LAG(hold_id) OVER earlier AS before,
                LAG(COALESCE(died, 9e18)) OVER earlier AS until
            FROM hold JOIN life USING (hold_id), json_each(hold.seats) AS named WHERE born IS NOT NULL
            WINDOW earlier AS (PARTITION BY event_id, named.value ORDER BY born)
        )
        SELECT event_id || ' ' || seat, 'holds=' || before || ',' || hold_id FROM owner WHERE until > born
        UNION ALL
        SELECT seat.event_id || ' ' || seat, 'owner=' || hold_id || ' event=' || COALESCE(hold.event_id, 'none')
        FROM seat LEFT JOIN hold USING (hold_id)
        WHERE hold_id IS NOT NULL AND seat.event_id IS NOT hold.event_id
        """,
    ),
    Invariant(
        "I3",
        "holds-expire",
        "A",
        "hold",
        f"Ningún apartado sobrevive más de {HOLD_ALLOWANCE_S} s a su promesa.",
        f"No hold outlives its promise by more than {HOLD_ALLOWANCE_S} s.",
        f"""
        SELECT hold_id, 'late_s=' || CAST(:now - expires_at AS INTEGER) FROM hold
        WHERE state = 'HELD' AND expires_at + {HOLD_ALLOWANCE_S} < :now
        """,  # noqa: S608 - a constant
    ),
    Invariant(
        "I4",
        "sold-is-confirmed",
        "Q",
        "seat",
        "Los asientos vendidos son exactamente los de las reservas confirmadas.",
        "The seats sold are exactly those of the confirmed reservations.",
        """
        WITH sold AS (
            SELECT seat.event_id, seat, hold_id AS ref FROM seat JOIN hold USING (hold_id) WHERE state = 'SOLD'
        ),
        confirmed AS (
            SELECT event_id, named.value AS seat, reservation_id || '.' || attempt AS ref
            FROM reservation, json_each(reservation.seats) AS named WHERE state = 'CONFIRMED'
        )
        SELECT event_id || ' ' || seat, 'sold, not confirmed: ' || ref
        FROM (SELECT * FROM sold EXCEPT SELECT * FROM confirmed)
        UNION ALL
        SELECT event_id || ' ' || seat, 'confirmed, not sold: ' || ref
        FROM (SELECT * FROM confirmed EXCEPT SELECT * FROM sold)
        UNION ALL
        SELECT reservation_id, 'quantity=' || quantity || ' seats=' || seats FROM reservation
        WHERE state = 'CONFIRMED' AND json_array_length(seats) <> quantity
        """,
    ),
    Invariant(
        "I5",
        "the-dead-own-nothing",
        "A",
        "hold",
        "Los apartados liberados, vencidos, rechazados o lápidas no tienen asientos.",
        "Released, expired and refused holds and tombstones own no seat.",
        """
        SELECT hold_id, 'state=' || state || ' seat=' || seat FROM seat JOIN hold USING (hold_id)
        WHERE state NOT IN ('HELD', 'SOLD')
        """,
    ),
)
"""I1 … I5."""
