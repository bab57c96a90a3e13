"""What all routes share: the running gateway as a dependency."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import Depends, Request

from gateway.usecases import Gateway


async def _running(request: Request) -> Gateway:
    svc: Gateway = request.state.svc
    return svc


Svc = Annotated[Gateway, Depends(_running)]
"""The running gateway."""

NO_STORE: Final[Mapping[str, str]] = MappingProxyType({"cache-control": "no-store"})
"""Headers of answers that are true only now."""
