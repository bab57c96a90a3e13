"""What tests share."""

from tests.support.stack import free_base_port
from tests.support.wait import until

__all__ = ["free_base_port", "until"]
