"""What a crash writes to the log: where it happened, and nothing of whom it happened to."""

import subprocess
import sys

import pytest

CRASH = """
import structlog
from chassis.settings import ServiceSettings
from chassis.telemetry import configure_logs

configure_logs("gateway", ServiceSettings(log_format="{format}"))

def crash(token):
    email = "ana@example.com"
    raise ZeroDivisionError("why")

try:
    crash("token-of-ana")
except ZeroDivisionError:
    structlog.get_logger().exception("internal_error", path="/x")
"""


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_a_traceback_in_the_log_shows_no_values(log_format):
    """A token or an e-mail address is a local variable of whatever crashed."""
    script = CRASH.replace("{format}", log_format)
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    assert "internal_error" in done.stdout
    assert "ZeroDivisionError: why" in done.stdout
    assert "in crash" in done.stdout
    assert "token-of-ana" not in done.stdout.replace('crash("token-of-ana")', "")
    assert "ana@example.com" not in done.stdout
