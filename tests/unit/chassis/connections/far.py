"""A process and the connections to it without a socket: bytes go in, bytes come out, and the clock is virtual."""

import asyncio
import json

import uvicorn
from uvicorn.server import ServerState

from chassis.connections import Bounds
from chassis.door import Door, DoorProtocol
from chassis.runtime import simulated
from chassis.telemetry import Metrics

RECEIVE_S = 10.0
GET = b"GET / HTTP/1.1\r\nHost: t\r\n%b\r\n"
POST = b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: %d\r\n%b\r\n"
SLACK_S = 3.0  # a limit of n seconds strikes within n + 2


class Line(asyncio.Transport):
    """The server's end of a connection whose other end is the test."""

    def __init__(self, address):
        super().__init__({"peername": (address, 4711), "sockname": ("10.0.0.9", 80)})
        self.sent = b""
        self.unsent = 0
        self.is_reading = True
        self.is_stubborn = False
        self.end = None

    def write(self, data):
        self.sent += data

    def get_write_buffer_size(self):
        return self.unsent

    def is_closing(self):
        return self.end is not None

    def _finish(self, how):
        if self.end is None:
            self.end = how
            asyncio.get_running_loop().call_soon(self.protocol.connection_lost, None)

    def close(self):
        if self.unsent:
            self.end = self.end or "closing"
        else:
            self._finish("closed")

    def can_write_eof(self):
        return True

    def write_eof(self):
        if not self.is_stubborn:
            self._finish("closed")  # as clients do when the far end has ended

    def abort(self):
        self.end = None
        self._finish("aborted")

    def pause_reading(self):
        self.is_reading = False

    def resume_reading(self):
        self.is_reading = True


class Far:
    """A process with these limits, and whoever connects to it."""

    def __init__(self, **bounds):
        given = {"receive_s": RECEIVE_S, "body_bytes": 1000, "connections": 100, "per_client": 0}
        self.metrics = Metrics()
        self.door = Door(simulated(1, {}), self.metrics, Bounds(**{**given, **bounds}))
        self.config = uvicorn.Config(
            self.app,
            lifespan="off",
            interface="asgi3",
            log_level="critical",
            server_header=False,
            proxy_headers=False,
        )
        self.config.load()
        self.state = ServerState()
        self.seen = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def app(self, scope, receive, send):
        body, more = b"", scope["method"] == "POST"
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            more = message["more_body"]
        self.seen.append((scope, body))
        await self.may_answer.wait()
        length = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": b"ok"})

    def connect(self, address="10.0.0.1"):
        line = Line(address)
        line.protocol = DoorProtocol(
            self.door, config=self.config, server_state=self.state, app_state={}
        )
        line.protocol.connection_made(line)
        return line

    async def ask(self, *pieces, address="10.0.0.1"):
        line = self.connect(address)
        for piece in pieces:
            line.protocol.data_received(piece)
        await asyncio.sleep(0.01)
        return line

    def refused(self, code):
        labels = {"code": code}
        return self.metrics.registry.get_sample_value(
            "http_server_connections_refused_total", labels
        )


def told(line):
    """Status, code and headers of the only answer."""
    head, _, body = line.sent.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(one.split(": ", 1) for one in lines)
    assert line.sent.count(b"x-request-id: ") == 1
    problem = json.loads(body)
    assert len(body) == int(headers["content-length"])
    assert problem["status"] == int(first.split()[1])
    assert headers["content-type"] == "application/problem+json"
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == problem["request_id"]
    return problem["status"], problem["code"], headers
