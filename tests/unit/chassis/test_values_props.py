"""What the API documents promise of a value is what is checked. Properties, for every body that a service takes:

- a value is accepted exactly if it keeps to the published schema;
- a price survives its way to minor units to the cent, as text and as a number of JSON;
- whatever is accepted for an e-mail address here is taken as a recipient by notifications.
"""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from chaos.faults.control import FaultSwitch
from chassis.values import Recipient
from gateway.schemas import LoadOrder, RaceOrder, ReserveRequest, ResetOrder
from inventory.schemas import ConfirmRequest, HoldRequest, ReleaseRequest, ResetRequest
from notifications.schemas import Notification, ResendRequest
from payments.schemas import CancelRequest, CaptureRequest, PayRequest
from reservations.schemas import ReserveRequest as Delivery
from tests.contract.schema import complaints
from tests.support.machines import budget

BODIES = (
    ReserveRequest,
    ResetOrder,
    RaceOrder,
    LoadOrder,
    HoldRequest,
    ConfirmRequest,
    ReleaseRequest,
    ResetRequest,
    PayRequest,
    CaptureRequest,
    CancelRequest,
    Notification,
    ResendRequest,
    Delivery,
    FaultSwitch,
)

SCHEMAS = {model: model.model_json_schema() for model in BODIES}

EDGES = [
    *(
        "",
        " ",
        "50",
        "50.00",
        "50.001",
        "5e1",
        "NaN",
        "-1",
        "0",
        "0.0",
        "1000000",
        "1000000.01",
        "٣",
    ),
    *(
        "A-07",
        "A-٧",
        "a-1",
        "A-07\n",
        "AAAA-1",
        "ana@example.com",
        "a\u0085b@example.com",
        "a b@x.yz",
    ),
    *("a\u2003@example.com", "\ufeffana@example.com", "a@b", "ana", "x" * 65, "x" * 101, "x" * 255),
    *(
        "concert-01",
        "r1.1",
        "r:1@2",
        "../x",
        "es",
        "fr",
        "confirmed",
        "USD",
        "usd",
        "0" * 64,
        "*",
        "/x",
    ),
]
NUMBERS = [
    0,
    1,
    -1,
    2,
    10,
    11,
    50,
    64,
    65,
    200,
    201,
    10_000,
    10_001,
    10**8,
    10**8 + 1,
    2**63,
    10**30,
]
NUMBERS += [1.0, 1.5, 0.01, 0.001, 19.99, -0.0, 1e300, 5e-324]
scalars = st.one_of(
    st.sampled_from(EDGES),
    st.sampled_from(NUMBERS),
    st.sampled_from([None, True, False]),
    st.text(max_size=12),
    st.from_regex(r"\A[A-Z]{1,3}-[0-9]{1,4}\Z"),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.dictionaries(
        st.sampled_from(["payment_ref", "seats", "_", "A", "x y"]), scalars, max_size=2
    ),
)


@st.composite
def bodies(draw):
    """A model and one of its examples with a few members changed, added and left out."""
    model = draw(st.sampled_from(BODIES))
    schema = SCHEMAS[model]
    body = dict(draw(st.sampled_from(schema.get("examples") or [{"enabled": True}])))
    names = [*schema["properties"], "stranger"]
    for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
        if draw(st.integers(0, 4)):
            body[name] = draw(values)
        else:
            body.pop(name, None)
    return model, body


def accepts(model, body):
    try:
        TypeAdapter(model).validate_json(json.dumps(body))
    except ValidationError as error:
        return [f"{one['loc']}: {one['type']}" for one in error.errors()]
    return []


def is_beyond_the_schema(model, body):
    """The one rule that JSON Schema has no words for."""
    return model is ReserveRequest and body.get("quantity") is not None and body.get("seats")


@budget(examples=600, steps=1)
@given(bodies())
@example((HoldRequest, {"hold_id": "r.1", "event_id": "x", "quantity": True}))
@example((HoldRequest, {"hold_id": "r.1", "event_id": "x", "quantity": 3.0}))
@example((HoldRequest, {"hold_id": "r.1", "event_id": "x", "seats": ["A-٧"]}))
@example((CaptureRequest, {"payment_ref": "r.1", "items": [{"payment_ref": "r.1"}]}))
def test_accepted_is_what_keeps_to_the_schema(found):
    model, body = found
    schema = SCHEMAS[model]
    promised = list(complaints(json.loads(json.dumps(body)), schema, schema))
    refused = accepts(model, body)
    if is_beyond_the_schema(model, body) and not promised:
        return
    assert bool(promised) == bool(refused), (body, promised, refused)


@budget(examples=300, steps=1)
@given(st.integers(1, 10**8))
@example(10**8)
@example(29)
@example(57)
def test_a_price_survives_to_the_cent(cents):
    for price in (f"{cents // 100}.{cents % 100:02d}", cents / 100):
        body = {"user_id": "ana", "event_id": "concert-01", "price": price}
        order = ReserveRequest.model_validate_json(json.dumps(body))
        assert order.canonical()["price_minor"] == cents


@budget(examples=300, steps=1)
@given(st.text(max_size=20).map(lambda name: f"{name}@example.com"))
@example("a\u0085@example.com")
@example("\ufeff@example.com")
def test_an_address_that_we_take_can_be_sent_to(email):
    body = {"user_id": "ana", "event_id": "concert-01", "email": email}
    if not accepts(ReserveRequest, body):
        TypeAdapter(Recipient).validate_python(email)


@pytest.mark.parametrize("model", BODIES)
def test_every_example_is_accepted(model):
    for body in SCHEMAS[model].get("examples", ()):
        assert accepts(model, body) == []
