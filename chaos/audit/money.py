"""Money: I10 … I13. The provider's ledger is the outside world: it says what really moved."""

from typing import Final

from chaos.audit.rule import Invariant

MONEY: Final = (
    Invariant(
        "I10",
        "money-is-the-price",
        "Q",
        "reservation",
        "Cobrado − devuelto = precio si la reserva está confirmada, si no 0; por reserva y por evento.",
        "Captured − refunded = the price if the reservation is confirmed, else 0; per reservation and per event.",
        """
        SELECT reservation_id, 'state=' || state || ' price=' || COALESCE(quantity * unit_price, 0) || ' kept='
            || (COALESCE(captured, 0) - COALESCE(refunded, 0))
        FROM reservation LEFT JOIN money USING (reservation_id)
        WHERE COALESCE(captured, 0) - COALESCE(refunded, 0)
            IS NOT iif(state = 'CONFIRMED', quantity * unit_price, 0)
        UNION ALL
        SELECT reservation_id, 'no reservation, kept=' || (captured - refunded) FROM money
        WHERE captured <> refunded
            AND NOT EXISTS (SELECT 1 FROM reservation WHERE reservation.reservation_id = money.reservation_id)
        UNION ALL
        SELECT reservation_id, 'unit_price=' || reservation.unit_price || ' promised=' || hold.unit_price
        FROM reservation JOIN hold ON hold_id = reservation_id || '.' || attempt
        WHERE reservation.state = 'CONFIRMED' AND reservation.unit_price IS NOT hold.unit_price
        UNION ALL
        SELECT event_id, 'sold=' || sold || ' kept=' || kept FROM (
            SELECT event_id,
                (SELECT COALESCE(SUM(quantity * unit_price), 0) FROM hold
                    WHERE hold.event_id = event.event_id AND state = 'SOLD') AS sold,
                (SELECT COALESCE(SUM(captured - refunded), 0) FROM reservation JOIN money USING (reservation_id)
                    WHERE reservation.event_id = event.event_id) AS kept
            FROM event
        ) WHERE sold <> kept
        """,
    ),
    Invariant(
        "I11",
        "charged-once",
        "A",
        "entry",
        "Como mucho un cobro sin devolver por reserva; nunca más devoluciones que cobros; se cobra lo autorizado.",
        "At most one capture not refunded per reservation; never more refunds than captures; what was authorized.",
        """
        SELECT reservation_id, 'captures=' || captures || ' refunds=' || refunds FROM money
        WHERE captures - refunds NOT IN (0, 1)
        UNION ALL
        SELECT ref, 'captures=' || SUM(kind = 'capture') || ' refunds=' || SUM(kind = 'refund') FROM entry GROUP BY ref
        HAVING SUM(kind = 'capture') > 1 OR SUM(kind = 'refund') > SUM(kind = 'capture')
        UNION ALL
        SELECT ref, 'amounts=' || group_concat(amount_minor) FROM entry
        WHERE kind IN ('authorize', 'capture', 'refund') GROUP BY ref HAVING COUNT(DISTINCT amount_minor) > 1
        """,
    ),
    Invariant(
        "I12",
        "provider-agrees",
        "Q",
        "ledger",
        "Pagos y proveedor dicen lo mismo de cada referencia; ninguna autorización queda abierta; "
        "ningún cargo sin reserva; los asientos contables suman el saldo.",
        "Payments and provider say the same of every reference; no authorization is left open; no charge without a "
        "reservation; the provider's entries fold to its ledger.",
        """
        SELECT payment_ref, 'payments=' || payment.state || ' provider=' || COALESCE(ledger.state, 'unknown')
        FROM payment LEFT JOIN ledger ON ref = payment_ref
        WHERE NOT EXISTS (SELECT 1 FROM agreement WHERE payment_state = payment.state AND ledger_state IS ledger.state)
        UNION ALL
        SELECT ref, 'payments=unknown provider=' || ledger.state FROM ledger
        WHERE NOT EXISTS (SELECT 1 FROM payment WHERE payment_ref = ref)
        UNION ALL
        SELECT ref, 'authorization left open' FROM ledger WHERE state = 'authorized'
        UNION ALL
        SELECT payment_ref, 'authorization left open at payments' FROM payment WHERE state = 'AUTHORIZED'
        UNION ALL
        SELECT ref, 'payments=' || payment.amount_minor || payment.currency || ' provider=' || ledger.amount_minor
            || ledger.currency
        FROM ledger JOIN payment ON payment_ref = ref WHERE payment.currency <> '' AND ledger.currency <> ''
            AND (payment.amount_minor, payment.currency) <> (ledger.amount_minor, ledger.currency)
        UNION ALL
        SELECT ledger.ref, 'ledger=' || state || ' last_entry=' || COALESCE(last.kind, 'none') FROM ledger LEFT JOIN (
            SELECT ref, kind, MAX(seq) FROM entry GROUP BY ref) AS last USING (ref)
        WHERE NOT EXISTS (SELECT 1 FROM ends_as WHERE ends_as.kind = last.kind AND ledger_state = state)
        UNION ALL
        SELECT ref, 'entry ' || kind || ' after ' || COALESCE(was, 'nothing') FROM (
            SELECT ref, kind, LAG(kind) OVER (PARTITION BY ref ORDER BY seq) AS was FROM entry
        ) WHERE NOT EXISTS (SELECT 1 FROM arrow WHERE machine = 'provider' AND from_state IS was AND to_state = kind)
        UNION ALL
        SELECT DISTINCT ref, 'money moved for no reservation' FROM entry WHERE kind IN ('authorize', 'capture')
            AND NOT EXISTS (
                SELECT 1 FROM reservation WHERE reservation_id = rtrim(rtrim(ref, '0123456789'), '.')
                    AND attempt >= CAST(substr(ref, length(reservation_id) + 2) AS INTEGER))
        """,
    ),
    Invariant(
        "I13",
        "payments-settled",
        "Q",
        "payment",
        "Ningún pago espera al proveedor.",
        "No payment waits for the provider.",
        """
        SELECT payment_ref, 'state=' || state || ' attempts=' || attempts || ' error=' || COALESCE(last_error, '-')
        FROM payment WHERE state LIKE '%_PENDING'
        """,
    ),
)
"""I10 … I13."""
