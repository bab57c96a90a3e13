"""An OTLP collector on the running loop: keeps the spans that real processes send, and every byte of them."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class Seen:
    """A span as it was sent. Ids are hex; `parent` is empty for a root; `links` are span ids."""

    service: str
    name: str
    kind: str
    trace: str
    span: str
    parent: str
    failed: bool
    attributes: dict
    events: dict
    links: tuple[str, ...]

    @property
    def what(self) -> tuple[str, str, str]:
        """Who did it, as what, and what it was."""
        return self.service, self.kind, self.name


@dataclass
class Collector:
    """Takes `POST /v1/traces`.

    Attributes:
        spans: All that came, in the order of their ends within one service.
        content: What came, as it came.
    """

    spans: list[Seen] = field(default_factory=list)
    content: bytes = b""
    port: int = 0

    @property
    def url(self) -> str:
        """For OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self.port}"

    def trace(self, trace: str) -> list[Seen]:
        """The spans of one trace."""
        return [one for one in self.spans if one.trace == trace]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Collector"]:
        """Serve for the length of the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                fields = dict(
                    line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if line
                )
                body = await reader.readexactly(int(fields[b"content-length"]))
                if fields.get(b"content-encoding") == b"gzip":
                    body = gzip.decompress(body)
                self.content += body
                self.spans += _read(body)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def _read(body: bytes) -> Iterator[Seen]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = _plain(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Seen(
                    service=service,
                    name=span.name,
                    kind=KINDS[span.kind],
                    trace=span.trace_id.hex(),
                    span=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    failed=span.status.code == 2,
                    attributes=_plain(span.attributes),
                    events={one.name: _plain(one.attributes) for one in span.events},
                    links=tuple(one.span_id.hex() for one in span.links),
                )


def _plain(attributes) -> dict:
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}
