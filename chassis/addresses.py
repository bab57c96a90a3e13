"""Who a client is, by address. Pure.

Source: RFC 7239 §5.2 and §8.1, on what `X-Forwarded-For` says and what of it may be believed.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

MOST_PROXIES: Final = 8
"""How many proxies may stand between a client and us."""

Network = IPv4Network | IPv6Network


def forwarded_for(headers: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """What all fields `X-Forwarded-For` together say, as far as anybody needs to look: the last few."""
    fields = [value for name, value in headers if name == b"x-forwarded-for"]
    said = b",".join(fields).rsplit(b",", MOST_PROXIES)[-MOST_PROXIES:]
    return [one.decode("latin-1").strip() for one in said]


def client_of(peer: str, forwarded: Sequence[str], trusted: Sequence[Network]) -> str:
    """Who a request is from: the nearest address for which no trusted proxy speaks.

    What a client writes into the header itself stands before what our proxies append, so it is never reached. An IPv6
    client is its /64, of which everybody has as many addresses as they like.

    Args:
        peer: The other end of the connection.
        forwarded: `X-Forwarded-For`, the nearest last.
        trusted: Our proxies.
    """
    found = _address(peer)
    for claim in reversed(forwarded):
        claimed = _address(claim)
        if found is None or claimed is None or not any(found in network for network in trusted):
            break
        found = claimed
    return peer if found is None else _named(found)


def group_of(address: str) -> str:
    """What counts as one client of those that come without proxies: an IPv4 address, an IPv6 /64."""
    found = _address(address)
    return address if found is None else _named(found)


def _named(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv6Address):
        return str(ip_network((address, 64), strict=False))
    return str(address)


@lru_cache(maxsize=1024)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
