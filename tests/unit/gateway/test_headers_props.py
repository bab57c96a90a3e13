"""Headers and paths that nobody would send. Properties, whatever they are:

- the answer is one that the API document of the operation knows, with a code that it shows; never a crash;
- its language is one of ours and its request id is safe to print, whatever was asked for;
- a usable Idempotency-Key and a usable request id come back unchanged.
"""

import re
import string
from urllib.parse import quote

import httpx
from hypothesis import given
from hypothesis import strategies as st

from chassis.catalogue import LANGUAGES
from chassis.idempotency import USABLE_KEY
from chassis.languages import negotiate
from tests.contract.test_openapi import document
from tests.support.machines import Life, budget
from tests.unit.gateway.conftest import bench, confirmed

HEADERS = {
    "accept-language": ["en", "es;q=0.1, en;q=0.9", "en;q=0", "*", ";q=", "en-" * 40, "é"],
    "idempotency-key": ["0123456789abcdef", "short", "with a space in it", "é" * 16, "x" * 129],
    "x-deadline-ms": ["0", "-1", "1", "5000", "1e9", "NaN", "inf", "9" * 400, "٣", " 5 ", "0x10"],
    "x-request-id": ["a-good-one", "bad one", "x" * 65, "../../x", "<script>", ""],
    "x-manage-token": ["token-1", "", "x" * 201, "é"],
    "content-type": ["application/json", "text/plain", "application/json;charset=x", "a/b/c", ""],
    "content-length": ["0", "5", "-1", "99999999", "9" * 30, "x", "٣"],
    "accept": ["*/*", "text/html", "application/xml;q=0", ";;"],
    "authorization": ["Bearer", "Bearer x", "Basic é", ""],
    "accept-encoding": ["gzip", "gzip;q=0", "gzip;q=x", ",,", "x-gzip"],
}
latin = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
headers = st.fixed_dictionaries(
    {},
    optional={name: st.one_of(st.sampled_from(known), latin) for name, known in HEADERS.items()},
)
segments = st.one_of(
    st.sampled_from(
        ["r1", "..", ".", "%2e%2e", "%00", "%ff", "%F0%9F%98%80", "a%2Fb", "", "x" * 300]
    ),
    st.text(string.printable, max_size=8).map(lambda text: quote(text, safe="/;=@!$&*+")),
)
queries = st.sampled_from(
    ["", "?lang=en", "?lang=es&lang=en", "?lang=", "?%", "?lang=e%6e", "?&&="]
)
BODY = b'{"user_id": "ana", "event_id": "concert-01"}'
bodies = st.one_of(
    st.just(BODY),
    st.binary(max_size=20),
    st.sampled_from(
        [b"{", b"null", b"[" * 2000, b'{"user_id": "\\ud800", "event_id": "x"}', b"1e999"]
    ),
)
asked = st.one_of(
    st.tuples(st.just("POST /api/reserve"), st.just("/api/reserve"), bodies),
    st.tuples(
        st.just("POST /api/reservations/{reservation_id}/cancel"),
        segments.map(lambda part: f"/api/reservations/{part}/cancel"),
        bodies,
    ),
    st.tuples(
        st.just("GET /api/reservations/{reservation_id}"),
        segments.map(lambda part: f"/api/reservations/{part}"),
        st.just(b""),
    ),
    st.tuples(
        st.just("GET /api/events/{event_id}/seats"),
        segments.map(lambda part: f"/api/events/{part}/seats"),
        st.just(b""),
    ),
)
ELSEWHERE = {"not_found", "method_not_allowed"}
"""What a path that leads to another operation, or to none, hears."""


def documented(operation):
    """Every (status, code) of an operation; no code where it is no refusal."""
    method, path = operation.split()
    found = document("gateway")["paths"][path][method.lower()]["responses"]
    for status, response in found.items():
        examples = response["content"].get("application/problem+json", {}).get("examples", {})
        for name in examples:
            yield int(status), name.partition(".")[0]
        if not examples:
            yield int(status), None


OPERATIONS = (
    "POST /api/reserve",
    "POST /api/reservations/{reservation_id}/cancel",
    "GET /api/reservations/{reservation_id}",
    "GET /api/events/{event_id}/seats",
)


def test_whatever_the_headers_are_the_answer_is_a_documented_one():
    known = {operation: set(documented(operation)) for operation in OPERATIONS}
    life = Life(lambda: bench(confirmed()))
    life.start()

    @budget(examples=400, steps=1)
    @given(asked, headers, queries)
    def ask(what, given_, query):
        operation, path, body = what
        sent = {name: value.encode("latin-1", "replace") for name, value in given_.items()}
        sent.setdefault("content-type", b"application/json")
        request = httpx.Request(operation.split()[0], f"http://gateway{path}{query}", content=body)
        request.headers = httpx.Headers(sent)
        answer = life.run(life.it.http.send(request))
        code = None
        if answer.status_code >= 400:
            code = answer.json()["code"]
            assert answer.headers["content-type"] == "application/problem+json"
        if code not in ELSEWHERE and "text/html" not in answer.headers["content-type"]:
            assert (answer.status_code, code) in known[operation], (what, given_, answer.text)
        assert answer.headers["content-language"] in LANGUAGES
        assert re.fullmatch(r"[A-Za-z0-9._-]{8,64}", answer.headers["x-request-id"])
        key = given_.get("idempotency-key", "")
        if code is None and path == "/api/reserve" and re.fullmatch(USABLE_KEY, key):
            assert answer.headers["idempotency-key"] == key

    try:
        ask()
    finally:
        life.close()


ranges = st.lists(
    st.tuples(
        st.sampled_from(["en", "es", "EN-gb", "es-PE", "fr", "*", "e", "en_", ""]),
        st.sampled_from(
            ["", ";q=0", ";q=0.5", ";q=1", ";q=0.51", ";q=2", "; Q=0.9", ";q=", ";x=1"]
        ),
    ),
    max_size=4,
)


@budget(examples=400, steps=1)
@given(st.one_of(ranges.map(lambda found: ",".join(a + b for a, b in found)), latin))
def test_a_language_is_always_found_and_never_one_that_was_refused(header):
    found = negotiate(header)
    assert found in LANGUAGES
    if header.strip().lower() in ("en", "en;q=1", "es;q=0,en", "fr,en;q=0.5"):
        assert found == "en"
    if re.fullmatch(r"en;q=0(,fr)?", header):
        assert found == "es"
