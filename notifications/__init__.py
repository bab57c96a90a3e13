"""Notifications: messages to buyers, each delivered once.

Owns `notifications.db`: one inbox row per `notification_id`, and the mailbox for mail that no SMTP server takes.
Invariants: a message is stored before it is sent; a re-send of its id never sends a second mail; only an address that
cannot exist ends in DEAD, from where an operator's resend leads back; an outage is retried for ever. Calls the SMTP
server of `SMTP_URL`, if any, and nobody else.
"""
