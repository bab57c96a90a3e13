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
        self.drivers = {}

    def submit(self, state, reason=None, *, known=True, delivery="d1", attempt=1):
        self.seq += 1
        if delivery not in self.drivers:
            self.drivers[delivery] = exchange(delivery=delivery)
            self.witness.reaches(self.drivers[delivery])
        arrow = [Arrow(self.seq, R, self.was, state)]
        self.witness.commits(arrow, [(delivery, reason, attempt)], done=False)
        if known:
            self.witness.commits(arrow, [(delivery, reason, attempt)], done=True)
            self.was = state
        return self

    def say(self, code, status=503, *, delivery="d1", **where):
        """What whoever drives the delivery says; or, if nobody does, or elsewhere, a request of its own."""
        one = self.drivers.get(delivery) if not where else None
        if one is None:
            one = exchange(delivery=delivery, **where)
            self.witness.reaches(one)
        return self._hear(one, status, code=code)

    def say_again(self, code, **said):
        """What the same delivery hears that is sent once more."""
        again = exchange()
        self.witness.reaches(again)
        return self._hear(again, 503, code=code, **said)

    def _hear(self, one, status, **said):
        self.witness.hears(one, status, json.dumps(said).encode())
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


def sold():
    return Story().submit("RECEIVED").submit("HELD").submit("AUTHORIZED").submit("CONFIRMED")


def test_who_asks_again_may_say_that_its_look_up_failed():
    assert sold().say_again("storage_unavailable") == []


def test_but_not_that_a_sale_was_given_up():
    assert sold().say_again("storage_unavailable", replayed=True)


def test_a_failed_look_up_is_no_answer_for_a_buyer():
    story = sold()
    story.say_again("storage_unavailable")
    told = story.say("storage_unavailable", target="gateway", path="/api/reserve")
    assert told == ["MAY_SAY gateway told " + R + " storage_unavailable: reservations said []"]


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
