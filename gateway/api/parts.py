"""What all routes share: the running gateway as a dependency."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import Depends, Path

from chassis.fastpath import running
from gateway.usecases import Gateway

Svc = Annotated[Gateway, Depends(running)]
"""The running gateway."""

EventId = Annotated[str, Path(examples=["concert-01"])]
ReservationId = Annotated[str, Path(examples=["r1f0c7d9a4b6e8325d17c09be2fa4d318"])]
ServiceName = Annotated[str, Path(examples=["inventory"])]
"""Parts of paths, with what the docs page fills in."""

NO_STORE: Final[Mapping[str, str]] = MappingProxyType({"cache-control": "no-store"})
"""Headers of answers that are true only now."""
