"""The mesh's front door: admission, deadline, public API, page, docs, live stream, lab.

Owns: nothing durable. Names every reservation (`reservation_id` is a keyed hash of scope and Idempotency-Key), so that
all deliveries of one key mean the same reservation.

Invariants:

- full means 429 before anything is written anywhere;
- once a POST may have been sent, the answer is what reservations decided or 202 `pending`: never "unavailable";
- a caller that leaves cancels nothing downstream;
- without lab mode no lab route exists.

Calls: reservations, inventory; for docs and live values also payments and notifications.
Not here: what a reservation is and how it fails (`reservations`), how seats are kept (`inventory`).
"""
