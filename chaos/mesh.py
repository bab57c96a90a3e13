"""Where a running mesh listens, and small requests to it without a heavy client."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from chaos import topology
from chaos.ports import LOOPBACK

LIMIT_S: Final = 5.0


class MeshUnreachable(Exception):
    """Nothing that speaks HTTP answered.

    Args:
        service: Who was called.
        port: Where.
    """

    def __init__(self, service: str, port: int) -> None:
        super().__init__(f"{service} does not answer on {LOOPBACK}:{port}")
        self.service = service
        self.port = port


@dataclass(frozen=True)
class Mesh:
    """A mesh on this machine, named by its first port.

    Attributes:
        base_port: Port of the first service of compose.yaml.
        token: Bearer token of the fault switches, if they demand one.
    """

    base_port: int
    token: str | None = None

    @cached_property
    def ports(self) -> Mapping[str, int]:
        """Port by service, in the order of compose.yaml."""
        return topology.read((topology.COMPOSE,), {}).ports(self.base_port)

    def url(self, service: str, path: str = "") -> str:
        """Address of a service."""
        return f"http://{LOOPBACK}:{self.ports[service]}{path}"

    def call(
        self, service: str, method: str, path: str, body: object = None, *, lang: str = "es"
    ) -> tuple[int, Any]:
        """Make one request; gives status and decoded JSON (None if it is not JSON).

        Raises:
            MeshUnreachable: No answer within 5 s.
        """
        connection = http.client.HTTPConnection(LOOPBACK, self.ports[service], timeout=LIMIT_S)
        headers = {"Accept-Language": lang, "Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise MeshUnreachable(service, self.ports[service]) from error
        finally:
            connection.close()
        try:
            return response.status, json.loads(content)
        except ValueError:
            return response.status, None
