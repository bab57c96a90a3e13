"""What the services say of themselves while they are flooded."""

import asyncio
import json

from chaos.load.gauges import Gauges

LIVE = {
    "live": {
        "shield": {"limit": 7, "in_flight": 3},
        "edges": {"payments.pay": {"h:1": {"breaker": {"phase": "open"}}}},
    }
}


async def test_limit_and_breakers_are_shown_to_whoever_has_the_operators_token():
    told = json.dumps(LIVE).encode()

    async def shop(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        knows = b"\r\nAuthorization: Bearer a-token-of-the-shop\r\n" in head
        status, body = (b"200 OK", told) if knows else (b"401 Unauthorized", b"{}")
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    async with await asyncio.start_server(shop, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = {}
        for token in (None, "a-token-of-the-shop"):
            gauges = Gauges({"gateway": port}, asyncio.get_running_loop().time, token)
            found[token] = await gauges.look(1.0)
            gauges.close()
    assert (found[None].limit, dict(found[None].breakers)) == (None, {})
    sample = found["a-token-of-the-shop"]
    assert (sample.limit, sample.in_flight) == (7, 3)
    assert sample.breakers == {"gateway→payments.pay": "open"}
