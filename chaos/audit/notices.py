"""Notices and the outbox: I14 … I17. Every buyer is told exactly once, and only the truth."""

from typing import Final

from chaos.audit.rule import Invariant

NOTICES: Final = (
    Invariant(
        "I14",
        "confirmed-owes",
        "A",
        "ever_confirmed",
        "Toda reserva que se confirmó debe su cobro y exactamente un aviso, desde el mismo commit; "
        "toda devuelta, el suyo.",
        "Every reservation that was confirmed owes its capture and exactly one notice, from the same commit; every "
        "refunded one its own.",
        """
        SELECT reservation_id, 'captures=' || SUM(kind = 'capture') || ' notices=' || SUM(kind = 'confirmed')
        FROM (
            SELECT reservation_id, '' AS kind FROM ever_confirmed
            UNION ALL
            SELECT reservation_id, iif(kind = 'capture', kind, json_extract(payload, '$.template'))
            FROM outbox JOIN reservation USING (saga)
        ) WHERE reservation_id IN (SELECT reservation_id FROM ever_confirmed)
        GROUP BY reservation_id HAVING SUM(kind = 'capture') <> 1 OR SUM(kind = 'confirmed') <> 1
        UNION ALL
        SELECT key, 'owed_at=' || created_at || ' confirmed_at=' || saga_log.at
        FROM outbox JOIN saga_log USING (saga)
        WHERE to_state = 'CONFIRMED' AND from_state = 'AUTHORIZED' AND kind = 'capture' AND created_at <> saga_log.at
        UNION ALL
        SELECT reservation_id, 'refunded, no notice owed' FROM reservation WHERE state = 'REFUNDED' AND NOT EXISTS (
            SELECT 1 FROM outbox WHERE outbox.saga = reservation.saga AND kind = 'notify'
                AND json_extract(payload, '$.template') = 'cancelled')
        """,
    ),
    Invariant(
        "I15",
        "delivered-once",
        "Q",
        "message",
        "Cada aviso llega una vez; otra copia solo donde un envío quedó en duda, y queda contada.",
        "Every notice arrives once; a second copy only where a sending was in doubt, and it is counted.",
        """
        SELECT key, 'message=' || COALESCE(message.state, 'none') FROM outbox LEFT JOIN message ON notification_id = key
        WHERE kind = 'notify' AND (message.state IS NULL OR message.state NOT IN ('DELIVERED', 'DEAD'))
        UNION ALL
        SELECT notification_id, 'state=' || state FROM message WHERE state IN ('ACCEPTED', 'INFLIGHT')
        UNION ALL
        SELECT notification_id, 'in the mailbox, state=' || state FROM mailbox JOIN message ON number = message
        WHERE state <> 'DELIVERED'
        UNION ALL
        SELECT notification_id, 'delivered to nobody' FROM message WHERE state = 'DELIVERED' AND attempts = 0
        UNION ALL
        SELECT notification_id, 'second_mails=' || redelivered || ' doubts=' || doubts FROM (
            SELECT notification_id, redelivered, (SELECT COUNT(*) FROM message_log
                WHERE message_log.notification_id = message.notification_id AND from_state = 'INFLIGHT'
                    AND to_state = 'INFLIGHT') AS doubts
            FROM message WHERE redelivered <> 0 OR attempts > 1
        ) WHERE redelivered <> doubts
        UNION ALL
        SELECT json_extract(data, '$.reservation_id'), template || '=' || COUNT(*) FROM message
        WHERE json_extract(data, '$.reservation_id') IS NOT NULL
        GROUP BY json_extract(data, '$.reservation_id'), template HAVING COUNT(*) > 1
        """,
    ),
    Invariant(
        "I16",
        "notices-are-true",
        "Q",
        "message",
        "Nadie recibe «confirmada» sin confirmación ni «cancelada» sin devolución; toda devolución se avisa.",
        "Nobody is told “confirmed” without a confirmation or “cancelled” without a refund; every refund is told.",
        """
        WITH told AS (
            SELECT json_extract(payload, '$.data.reservation_id') AS reservation_id,
                json_extract(payload, '$.template') AS template FROM outbox WHERE kind = 'notify'
            UNION
            SELECT json_extract(data, '$.reservation_id'), template FROM message
            WHERE EXISTS (SELECT 1 FROM reservation WHERE reservation_id = json_extract(data, '$.reservation_id'))
        )
        SELECT reservation_id, 'told confirmed, never was' FROM told
        WHERE template = 'confirmed' AND reservation_id NOT IN (SELECT reservation_id FROM ever_confirmed)
        UNION ALL
        SELECT reservation_id, 'told cancelled, state=' || COALESCE(state, 'none')
        FROM told LEFT JOIN reservation USING (reservation_id) WHERE template = 'cancelled' AND state IS NOT 'REFUNDED'
        UNION ALL
        SELECT reservation_id, 'refunded, not told' FROM reservation WHERE state = 'REFUNDED'
            AND reservation_id NOT IN (SELECT reservation_id FROM told WHERE template = 'cancelled')
        """,
    ),
    Invariant(
        "I17",
        "outbox-empty",
        "Q",
        "outbox",
        "El buzón de salida está vacío y lo enviado está en poder de quien lo recibió.",
        "The outbox is empty, and whatever was sent is in its receiver's hands.",
        """
        SELECT key, 'state=' || state || ' tries=' || tries || ' detail=' || COALESCE(detail, '-') FROM outbox
        WHERE state = 'PENDING' OR (state = 'DEAD' AND kind = 'capture')
        UNION ALL
        SELECT key, 'sent, message=' || COALESCE(message.state, 'none')
        FROM outbox LEFT JOIN message ON notification_id = key
        WHERE kind = 'notify' AND outbox.state = 'SENT' AND message.state IS NOT 'DELIVERED'
        UNION ALL
        SELECT key, 'dead, message=' || COALESCE(message.state, 'none')
        FROM outbox LEFT JOIN message ON notification_id = key
        WHERE kind = 'notify' AND outbox.state = 'DEAD' AND message.state IS NOT 'DEAD'
        UNION ALL
        SELECT key, 'sent, payment=' || COALESCE(payment.state, 'none')
        FROM outbox LEFT JOIN payment ON payment_ref = key WHERE kind = 'capture' AND outbox.state = 'SENT'
            AND COALESCE(payment.state, '-') NOT IN ('CAPTURED', 'REFUND_PENDING', 'REFUNDED')
        UNION ALL
        SELECT outbox.key, 'superseded, reservation=' || reservation.state
        FROM outbox JOIN reservation USING (saga)
        WHERE outbox.state = 'SUPERSEDED' AND reservation.state NOT IN ('REFUNDING', 'REFUNDED')
        """,
    ),
)
"""I14 … I17."""
