"""What all routes share: the running gateway as a dependency."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final

from fastapi import Depends

from chassis.fastpath import running
from gateway.usecases import Gateway

Svc = Annotated[Gateway, Depends(running)]
"""The running gateway."""

NO_STORE: Final[Mapping[str, str]] = MappingProxyType({"cache-control": "no-store"})
"""Headers of answers that are true only now."""
