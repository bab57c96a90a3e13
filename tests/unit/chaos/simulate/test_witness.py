"""The witness: every kind of answer that nobody may give is noticed, and the right ones are not."""

import json

import httpx
import pytest

from chaos.simulate.disk import Arrow
from chaos.simulate.network import Exchange
from chaos.simulate.witness import Witness

R = "r" + "1" * 32


def exchange(target="reservations", path="/reserve", delivery="d1"):
    asked = {"reservation_id": R, "delivery_id": delivery, "key": "k" * 20}
    request = httpx.Request("POST", f"http://{target}{path}", headers={"x-request-id": "request-1"})
    return Exchange(1, "gateway", target, None, request, json.dumps(asked).encode(), path, "", None)


class Story:
    """Commits of one reservation, and what is said of it."""

    def __init__(self):
        self.witness, self.seq, self.was = Witness(), 0, None

    def submit(self, state, reason=None, *, known=True, delivery="d1", attempt=1):
        self.seq += 1
        arrow = [Arrow(self.seq, R, self.was, state)]
        self.witness.commits(arrow, [(delivery, reason, attempt)], done=False)
        if known:
            self.witness.commits(arrow, [(delivery, reason, attempt)], done=True)
            self.was = state
        return self

    def say(self, code, status=503, **where):
        one = exchange(**where)
        self.witness.reaches(one)
        self.witness.hears(one, status, json.dumps({"code": code}).encode())
        return self.witness.violations


def undone(reason):
    return Story().submit("RECEIVED").submit("CANCELLING", reason)


@pytest.mark.parametrize(
    ("story", "code"),
    [
        (lambda: Story().submit("RECEIVED", known=False), "storage_unavailable"),
        (lambda: Story().submit("RECEIVED").submit("HELD", known=False), "storage_unavailable"),
        (lambda: Story().submit("RECEIVED").submit("REFUSED", "sold_out"), "sold_out"),
        (lambda: undone("inventory_unavailable"), "inventory_unavailable"),
        (lambda: undone("payment_timeout"), "payment_timeout"),
        (lambda: Story().submit("RECEIVED").submit("HELD").submit("AUTHORIZED"), "pending"),
        (
            lambda: (
                Story().submit("RECEIVED").submit("HELD").submit("AUTHORIZED").submit("CONFIRMED")
            ),
            "confirmed",
        ),
    ],
)
def test_what_may_be_said(story, code):
    assert story().say(code) == []


@pytest.mark.parametrize(
    ("story", "code"),
    [
        (lambda: Story().submit("RECEIVED").submit("HELD"), "confirmed"),
        (Story, "pending"),
        (lambda: Story().submit("RECEIVED"), "sold_out"),
        (
            lambda: Story().submit("RECEIVED").submit("REFUSED", "sold_out", known=False),
            "sold_out",
        ),
        (lambda: undone("payment_timeout"), "payment_declined"),
        (
            lambda: Story().submit("RECEIVED").submit("HELD").submit("AUTHORIZED", known=False),
            "storage_unavailable",
        ),
        (
            lambda: Story().submit("RECEIVED").submit("HELD").submit("AUTHORIZED"),
            "payments_unavailable",
        ),
    ],
)
def test_what_may_not(story, code):
    told = story().say(code)
    assert told
    assert all(sentence.startswith(f"MAY_SAY reservations told {R} {code}") for sentence in told)


def test_a_copy_of_what_could_not_be_stored_may_hear_of_the_attempt_before():
    story = undone("payments_unavailable").submit("UNAVAILABLE", "payments_unavailable")
    story.submit("RECEIVED", known=False, delivery="d2", attempt=2)
    assert story.say("payments_unavailable", delivery="d2") == []
    assert story.say("inventory_unavailable", delivery="d2")


def test_a_500_may_never_be_said():
    assert "500" in Story().say("internal_error", status=500)[0]


@pytest.mark.parametrize("code", ["reservations_unavailable", "deadline_exceeded"])
def test_the_gateway_says_never_sent_of_what_never_was(code):
    gateway = {"target": "gateway", "path": "/api/reserve"}
    story = Story()
    assert story.say(code, **gateway) == []
    story.witness.reaches(exchange())
    assert len(story.say(code, **gateway)) == 1


def test_the_gateway_may_relay_a_door_that_was_closed():
    story = Story()
    story.say("overloaded")
    assert story.say("reservations_unavailable", target="gateway", path="/api/reserve") == []


def test_the_gateway_decides_nothing_by_itself():
    assert (
        "reservations said"
        in Story().say("sold_out", 409, target="gateway", path="/api/reserve")[0]
    )


def test_what_was_undone_does_not_come_to_life():
    story = undone("inventory_unavailable").submit("UNAVAILABLE", "inventory_unavailable")
    held = [Arrow(1, f"{R}.1", None, "HELD")]
    story.witness.holds([Arrow(1, f"{R}.2", None, "HELD")], done=True)
    story.witness.holds(held, done=False)
    assert story.witness.violations == []
    story.witness.holds(held, done=True)
    assert story.witness.violations == [f"TOMBSTONE {R}.1 was undone, and is held again"]
