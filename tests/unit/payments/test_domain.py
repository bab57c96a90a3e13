"""The state table is the law; everything else follows it."""

from itertools import product

import pytest

from payments.domain import (
    ARROWS,
    PENDING,
    IllegalArrow,
    PaymentEvent,
    PaymentState,
    advance,
    is_legal,
    status_of,
)

S, E = PaymentState, PaymentEvent


def test_a_paid_refunded_and_a_voided_payment_walk_the_table():
    walk = [E.PAY, E.AUTHORIZED, E.CAPTURE, E.CAPTURED, E.CANCEL, E.REFUNDED]
    state = None
    for event in walk:
        state = advance(state, event)
    assert state is S.REFUNDED
    assert advance(advance(None, E.CANCEL), E.VOIDED) is S.VOIDED


@pytest.mark.parametrize(("state", "event"), list(product([None, *S], E)))
def test_every_arrow_outside_the_table_is_refused(state, event):
    if (state, event) in ARROWS:
        assert is_legal(state, event)
        return
    assert not is_legal(state, event)
    with pytest.raises(IllegalArrow):
        advance(state, event)


def test_no_way_leads_back():
    """Compare-and-set on the state is safe only because a state, once left, is never entered again."""

    def reachable(state, seen=()):
        nexts = {to for (source, _), to in ARROWS.items() if source is state and to is not state}
        assert not nexts & set(seen), f"a circle through {state}"
        for to in nexts:
            reachable(to, (*seen, to))

    reachable(None)


def test_every_pending_state_has_a_way_out_and_is_shown_as_pending():
    for state in PENDING:
        assert any(source is state and to is not state for (source, _), to in ARROWS.items())
        assert status_of(state) == "pending"
    assert {status_of(state) for state in S if state not in PENDING} == {
        "authorized",
        "captured",
        "voided",
        "refunded",
        "declined",
    }


def test_a_captured_payment_is_never_voided_and_a_declined_one_never_moves():
    assert advance(S.CAPTURED, E.CANCEL) is S.REFUND_PENDING
    assert advance(S.CAPTURE_PENDING, E.CANCEL) is S.CAPTURE_PENDING
    assert not [event for event in E if is_legal(S.DECLINED, event)]
