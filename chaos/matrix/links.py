"""Every call of the mesh through a proxy: who calls whom, and the overlay of compose.yaml that leads them there."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import yaml

from chaos import topology
from chaos.proxy import Proxy

LINKS: Final = (
    ("gateway", "reservations"),
    ("gateway", "inventory"),
    ("reservations", "inventory"),
    ("reservations", "payments"),
    ("reservations", "notifications"),
)
"""(caller, callee) of every call that a purchase makes."""


@asynccontextmanager
async def proxied(base_port: int, seed: int) -> AsyncIterator[dict[str, Proxy]]:
    """One proxy per link, by "caller→callee", each leading to the callee's port of the mesh on `base_port`."""
    ports = topology.read((topology.COMPOSE,), {}).ports(base_port)
    async with AsyncExitStack() as stack:
        yield {
            f"{caller}→{callee}": await stack.enter_async_context(
                Proxy(f"{caller}→{callee}", ports[callee], seed + number)
            )
            for number, (caller, callee) in enumerate(LINKS)
        }


def overlay(proxies: dict[str, Proxy], folder: Path) -> Path:
    """A Compose file that points each caller at its proxies."""
    services: dict[str, dict[str, dict[str, str]]] = {}
    for name, proxy in proxies.items():
        caller, _, callee = name.partition("→")
        environment = services.setdefault(caller, {"environment": {}})["environment"]
        environment[f"{callee.upper()}_URL"] = f"http://127.0.0.1:{proxy.port}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "compose.proxied.yaml"
    path.write_text(yaml.safe_dump({"services": services}), encoding="utf-8")
    return path
