"""The requests of an attacker: what is sent, and what has to be said of it.

Each entry is the bytes and the `(status, code)` that answer them.
"""

from typing import Final

HOST: Final = b"Host: t\r\n"
ORDER: Final = b'{"user_id":"ana","event_id":"festival-01","quantity":1}'

BAD: Final = (400, "malformed_request")
LONG: Final = (414, "uri_too_long")
FAT: Final = (431, "headers_too_large")
BIG: Final = (413, "payload_too_large")
NONE: Final = (404, "not_found")
NO_JSON: Final = (400, "malformed_json")
WRONG: Final = (422, "invalid_request")
OTHER: Final = (415, "unsupported_media_type")
NO_KEY: Final = (400, "invalid_idempotency_key")


def get(target: bytes, fields: bytes = b"", *, method: bytes = b"GET", host: bytes = HOST) -> bytes:
    """A request without a body."""
    return b"%b %b HTTP/1.1\r\n%b%bConnection: close\r\n\r\n" % (method, target, host, fields)


def post(
    body: bytes,
    fields: bytes = b"",
    *,
    target: bytes = b"/api/reserve",
    media: bytes | None = b"application/json",
) -> bytes:
    """A request with a body of the length it says."""
    kind = b"" if media is None else b"Content-Type: %b\r\n" % media
    length = b"Content-Length: %d\r\n" % len(body)
    return get(target, kind + length + fields, method=b"POST") + body


def _order(**fields: str) -> bytes:
    members = {"user_id": '"ana"', "event_id": '"festival-01"', **fields}
    written = ",".join(f'"{name}":{value}' for name, value in members.items())
    return f"{{{written}}}".encode()


def _framed(fields: bytes, body: bytes = b"") -> bytes:
    """A POST whose framing is the attack. Any service: none of them gets as far as to look at the path."""
    return b"POST /healthz HTTP/1.1\r\n" + HOST + fields + b"\r\n" + body


CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"

WIRE: Final[dict[str, tuple[bytes, tuple[int, str]]]] = {
    # Two lengths, or none that holds: request smuggling.
    "length and chunks": (_framed(b"Content-Length: 5\r\n" + CHUNKED, b"0\r\n\r\nGET /"), BAD),
    "chunks and length": (_framed(CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\nGET /"), BAD),
    "two lengths": (_framed(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"123456"), BAD),
    "one length twice": (_framed(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"{}"), BAD),
    "a signed length": (_framed(b"Content-Length: +5\r\n", b"12345"), BAD),
    "a negative length": (_framed(b"Content-Length: -5\r\n", b"12345"), BAD),
    "a length in hex": (_framed(b"Content-Length: 0x5\r\n", b"12345"), BAD),
    "a length in another script": (_framed(b"Content-Length: \xb2\r\n", b"12"), BAD),
    "a length beyond numbers": (_framed(b"Content-Length: " + b"9" * 30 + b"\r\n"), BAD),
    "an unknown coding": (_framed(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), BAD),
    "chunked but not last": (_framed(b"Transfer-Encoding: chunked, identity\r\n"), BAD),
    "chunks before 1.1": (
        b"POST /healthz HTTP/1.0\r\n" + HOST + CHUNKED + b"\r\n0\r\n\r\n",
        BAD,
    ),
    "a chunk size that is none": (_framed(CHUNKED, b"zz\r\n"), BAD),
    "a chunk size beyond numbers": (_framed(CHUNKED, b"f" * 20 + b"\r\n"), BAD),
    "chunks that end in LF": (_framed(CHUNKED, b"1\na\n0\n\n"), BAD),
    # Header fields that somebody else may read as two, or as another one.
    "CR in a value": (get(b"/healthz", b"X-A: a\rX-B: b\r\n"), BAD),
    "LF in a value": (get(b"/healthz", b"X-A: a\nX-B: b\r\n"), BAD),
    "NUL in a value": (get(b"/healthz", b"X-A: a\0b\r\n"), BAD),
    "a control character": (get(b"/healthz", b"X-A: \x01\x7f\r\n"), BAD),
    "a folded line": (get(b"/healthz", b"X-A: a\r\n b\r\n"), BAD),
    "a space before the colon": (get(b"/healthz", b"Content-Length : 5\r\n"), BAD),
    "a space before the first": (b"GET /healthz HTTP/1.1\r\n Host: t\r\n\r\n", BAD),
    "no colon": (get(b"/healthz", b"XA\r\n"), BAD),
    "no name": (get(b"/healthz", b": a\r\n"), BAD),
    "a name beyond ASCII": (get(b"/healthz", b"X-\xff: a\r\n"), BAD),
    "no host": (get(b"/healthz", host=b""), BAD),
    "two hosts": (get(b"/healthz", b"Host: u\r\n"), BAD),
    "two keys": (get(b"/healthz", b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n"), BAD),
    "two credentials": (get(b"/healthz", b"Authorization: a\r\nAuthorization: b\r\n"), BAD),
    # Lines that are no request.
    "bare LF": (b"GET /healthz HTTP/1.1\nHost: t\n\n", BAD),
    "bare CR": (b"GET /healthz HTTP/1.1\rHost: t\r\r", BAD),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", BAD),
    "HTTP/2 in words": (b"GET /healthz HTTP/2.0\r\nHost: t\r\n\r\n", BAD),
    "HTTP/2 itself": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
    "another protocol": (b"GET /healthz HTTQ/1.1\r\nHost: t\r\n\r\n", BAD),
    "TLS": (bytes.fromhex("1603010200010001fc0303") + b"\0" * 100, BAD),
    "every byte": (bytes(range(256)), BAD),
    "a method that does not end": (b"A" * 100_000, BAD),
    "an unknown method": (get(b"/healthz", method=b"FOO"), BAD),
    "a method in small letters": (get(b"/healthz", method=b"get"), BAD),
    "a tunnel": (get(b"evil.test:443", method=b"CONNECT"), (405, "method_not_allowed")),
    "the server as a whole, by GET": (get(b"*"), BAD),
    # Targets.
    "no target": (b"GET  HTTP/1.1\r\nHost: t\r\n\r\n", BAD),
    "a target without a slash": (get(b"healthz"), BAD),
    "only a query": (get(b"?a=b"), BAD),
    "an authority": (get(b"evil.test:80"), BAD),
    "credentials in the target": (get(b"http://u:p@evil.test/healthz"), BAD),
    "another scheme": (get(b"ftp://evil.test/healthz"), BAD),
    "a space": (get(b"/healthz x"), BAD),
    "a tab": (get(b"/healthz\tx"), BAD),
    "NUL": (get(b"/healthz\0"), BAD),
    "beyond ASCII": (get(b"/\xff"), BAD),
    "NUL, escaped": (get(b"/healthz%00"), BAD),
    "CRLF, escaped": (get(b"/healthz%0d%0aX:%20y"), BAD),
    "a slash, escaped": (get(b"/docs%2fassets"), BAD),
    "a backslash": (get(b"/docs\\assets"), BAD),
    "a backslash, escaped": (get(b"/docs%5Cassets"), BAD),
    "half an escape": (get(b"/%"), BAD),
    "no escape": (get(b"/%zz"), BAD),
    "a fragment": (get(b"/healthz#x"), BAD),
    "up": (get(b"/../../etc/passwd"), BAD),
    "up and down": (get(b"/docs/../healthz"), BAD),
    "here": (get(b"/./healthz"), BAD),
    "up, escaped": (get(b"/docs/%2e%2e/healthz"), BAD),
    "up, half escaped": (get(b"/docs/.%2E/healthz"), BAD),
    "up, with a parameter": (get(b"/docs/..;/healthz"), BAD),
    "up, escaped twice": (get(b"/docs/%252e%252e/healthz"), NONE),
    "two slashes": (get(b"//healthz"), NONE),
    "somebody else's name": (get(b"//evil.test/"), NONE),
    "another case": (get(b"/HEALTHZ"), NONE),
    "a parameter": (get(b"/healthz;a=b"), NONE),
    "a slash behind": (get(b"/healthz/"), NONE),
    "a script": (get(b"/problems/%3Cscript%3E"), NONE),
    # Too much.
    "a long address": (get(b"/" + b"a" * 20_000), LONG),
    "an address that does not end": (b"GET /" + b"a" * 1_000_000, LONG),
    "many fields": (get(b"/healthz", b"".join(b"X-%d: a\r\n" % n for n in range(5000))), FAT),
    "a large field": (get(b"/healthz", b"X-A: " + b"a" * 200_000 + b"\r\n"), FAT),
    "a field that does not end": (b"GET / HTTP/1.1\r\nHost: t\r\nX-A: " + b"a" * 1_000_000, FAT),
    "a large body": (post(b"x" * 200_000, target=b"/chaos/down"), BIG),
    "a body that is said to be large": (
        _framed(b"Content-Length: 9999999999\r\n", b"12345"),
        BIG,
    ),
    "a body of many chunks": (_framed(CHUNKED, b"1\r\na\r\n" * 100_000), BIG),
    "a chunk extension that does not end": (_framed(CHUNKED, b"1;" + b"a" * 1_000_000), BIG),
    "trailers that do not end": (
        _framed(CHUNKED, b"0\r\n" + b"X: y\r\n" * 200_000),
        BIG,
    ),
}
"""For every service: none of it gets past the connection, but for what is merely not there."""

SHOP: Final[dict[str, tuple[bytes, tuple[int, str]]]] = {
    # JSON.
    "100,000 arrays deep": (post(b"[" * 100_000 + b"]" * 100_000), BIG),
    "30,000 arrays deep": (post(b"[" * 30_000 + b"]" * 30_000), NO_JSON),
    "30,000 arrays deep in a field": (post(_order(x="[" * 30_000 + "]" * 30_000)), NO_JSON),
    "10,000 objects deep": (post(b'{"a":' * 10_000 + b"1" + b"}" * 10_000), NO_JSON),
    "deep and not closed": (post(b"[" * 60_000), NO_JSON),
    "a number of 60,000 digits": (post(_order(quantity="9" * 60_000)), NO_JSON),
    "the same where nobody looks": (post(_order(x="9" * 60_000)), NO_JSON),
    "infinity": (post(_order(price="1e999")), WRONG),
    "infinity in words": (post(_order(price="Infinity")), WRONG),
    "not a number": (post(_order(price="NaN")), WRONG),
    "not a number, as text": (post(_order(price='"sNaN"')), WRONG),
    "a price of 60,000 digits": (post(_order(price='"' + "1" * 60_000 + '"')), WRONG),
    "a price with a huge exponent": (post(_order(price='"1e99999999"')), WRONG),
    "a price with a tiny exponent": (post(_order(price='"1e-99999999"')), WRONG),
    "true as a number": (post(_order(quantity="true")), WRONG),
    "bytes that are no UTF-8": (post(_order(user_id='"X"').replace(b"X", b"\xff\xfe")), NO_JSON),
    "UTF-16": (post(ORDER.decode().encode("utf-16")), NO_JSON),
    "NUL": (post(_order(user_id=r'"a\u0000"')), WRONG),
    "half a surrogate pair": (post(_order(email=r'"\ud800a@example.com"')), NO_JSON),
    "half a surrogate pair in a name": (post(_order(**{r"\ud800": "1"})), NO_JSON),
    "a line break behind": (post(_order(user_id=r'"ana\n"')), WRONG),
    "digits of another script": (post(_order(seats='["A-\u0660\u0667"]')), WRONG),
    "letters that look alike": (post(_order(user_id='"\uff41na"')), WRONG),
    "an address written backwards": (post(_order(email=r'"\u202ea@example.com"')), WRONG),
    "two addresses in one": (post(_order(email=r'"a@example.com,b@example.com"')), WRONG),
    "header injection by mail": (post(_order(email=r'"a@example.com\r\nBcc: b@example.com"')), WRONG),
    "a string of 60,000": (post(_order(user_id='"' + "a" * 60_000 + '"')), WRONG),
    "9,000 seats": (post(_order(seats="[" + ",".join(['"A-01"'] * 7000) + "]")), WRONG),
    "an array": (post(b"[]"), WRONG),
    "null": (post(b"null"), WRONG),
    "nothing": (post(b""), WRONG),
    # Media types.
    "text": (post(ORDER, media=b"text/plain"), OTHER),
    "a form": (post(b"user_id=ana", media=b"application/x-www-form-urlencoded"), OTHER),
    "a form in parts": (post(b"--x\r\n", media=b"multipart/form-data; boundary=x"), OTHER),
    "no type": (post(ORDER, media=None), OTHER),
    # Headers that mean something here.
    "a key beyond ASCII": (post(ORDER, b"Idempotency-Key: " + b"\xff" * 20 + b"\r\n"), NO_KEY),
    "a key with a space": (post(ORDER, b"Idempotency-Key: aaaaaaaaaa aaaaaaaaaa\r\n"), NO_KEY),
    "a key of 200": (post(ORDER, b"Idempotency-Key: " + b"a" * 200 + b"\r\n"), NO_KEY),
    "a token beyond ASCII": (get(b"/api/reservations/r1", b"X-Manage-Token: \xff\r\n"), WRONG),
    "a token beyond ASCII, to cancel": (
        post(b"", b"X-Manage-Token: \xff\r\n", target=b"/api/reservations/r1/cancel"),
        WRONG,
    ),
    "a deadline of the past": (post(ORDER, b"X-Deadline-Ms: -1\r\n"), (504, "deadline_exceeded")),
    # Paths.
    "out of the page": (get(b"/web/..%2fapp.py"), BAD),
    "out of the page, plainly": (get(b"/web/../app.py"), BAD),
    "out of the page, escaped twice": (get(b"/web/%252e%252e%252fapp.py"), NONE),
    "the page's source": (get(b"/web/app.py"), NONE),
    "a reservation called ..": (get(b"/api/reservations/.."), BAD),
    "an event called ..": (get(b"/api/events/%2e%2e/seats"), BAD),
    "an event with a line break": (get(b"/api/events/a%0a/seats"), BAD),
    "an event with a space": (get(b"/api/events/a%20b/seats"), (404, "event_not_found")),
    "a service called ..": (get(b"/openapi/..%2f..%2f.json"), BAD),
    "a service in capitals": (get(b"/openapi/GATEWAY.json"), NONE),
    "a slash behind, with a name": (
        get(b"/api/events/", host=b"Host: evil.test\r\n"),
        NONE,
    ),
    # Through the lab's relay.
    "relay: up": (get(b"/svc/inventory/../payments/healthz"), BAD),
    "relay: up, escaped": (get(b"/svc/inventory/%2e%2e/x"), BAD),
    "relay: another host": (get(b"/svc/inventory//evil.test/x"), NONE),
    "relay: an address": (get(b"/svc/inventory/http://evil.test/x"), NONE),
    "relay: a user": (get(b"/svc/inventory/@evil.test/x"), NONE),
    "relay: CRLF": (get(b"/svc/inventory/%0d%0aX:%20y"), BAD),
    "relay: NUL": (get(b"/svc/inventory/%00"), BAD),
    "relay: a question mark": (get(b"/svc/inventory/a%3fb"), NONE),
    "relay: a line separator": (get(b"/svc/inventory/%c2%85"), NONE),
    "relay: a token beyond ASCII": (
        get(b"/svc/inventory/nothing", b"Authorization: \xff\r\n"),
        NONE,
    ),
    "relay: nobody": (get(b"/svc/nobody/x"), NONE),
    # The lab.
    "a switch with a long name in it": (
        post(b'{"enabled":true,"%b":1}' % (b"k" * 60_000), target=b"/chaos/latency"),
        WRONG,
    ),
    "a switch of another script": (
        post(b'{"enabled":true}', target=b"/api/lab/faults/inventory/%C3%B1"),
        (404, "fault_not_found"),
    ),
    "a flood of a billion": (
        post(b'{"requests":1000000000,"workers":1000000000}', target=b"/api/lab/load"),
        WRONG,
    ),
    "a race of a billion": (post(b'{"buyers":1000000000}', target=b"/api/lab/race"), WRONG),
    "a hall of a billion seats": (
        post(b'{"event_id":"concert-01","seats":1000000000}', target=b"/api/lab/reset"),
        WRONG,
    ),
}  # fmt: skip
"""For the gateway: JSON, names and paths that it understands, and those that it must not pass on."""

HARMLESS: Final[dict[str, tuple[bytes, int]]] = {
    "an address with a name": (get(b"http://evil.test/healthz"), 200),
    "a value beyond ASCII": (get(b"/healthz", b"X-A: \xff\xfe\r\n"), 200),
    "a range": (get(b"/web/app.js", b"Range: bytes=0-1\r\n"), 200),
    "a name of a method": (get(b"/healthz", b"X-HTTP-Method-Override: DELETE\r\n"), 200),
    "a forged sender": (get(b"/healthz", b"X-Forwarded-For: <script>,\xff\r\n"), 200),
    "a language that is none": (get(b"/healthz", b"Accept-Language: \xff, en;q=,\r\n"), 200),
    "an offer of HTTP/2": (get(b"/healthz", b"Upgrade: h2c\r\nConnection: Upgrade\r\n"), 200),
    "the newest name twice": (post(_order(user_id='"ana","user_id":"ana"')), 200),
    "a mark before the order": (post(b"\xef\xbb\xbf" + ORDER), 200),
    "an empty line before": (b"\r\n\r\n" + get(b"/healthz"), 200),
}
"""What looks strange and is nothing but that."""
