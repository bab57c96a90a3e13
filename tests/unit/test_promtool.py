"""What Prometheus itself says of our configuration, our rules and our metrics: promtool, where it is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.mesh import mesh

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "prometheus"


@pytest.fixture
def promtool():
    """Runs it; without one the test is skipped, or fails where one is required."""
    path = shutil.which("promtool")
    if path is None:
        reason = (
            "no promtool here: apt-get install prometheus (REQUIRE_PROMTOOL=1 makes this a failure)"
        )
        if os.environ.get("REQUIRE_PROMTOOL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    def run(*arguments, given=None):
        return subprocess.run(
            [path, *arguments],
            cwd=FOLDER,
            input=given,
            capture_output=True,
            text=True,
            timeout=15,
            check=False,
        )

    return run


def test_prometheus_accepts_the_configuration_and_its_rules(promtool):
    result = promtool("check", "config", "prometheus.yml")
    assert result.returncode == 0, result.stderr
    assert "15 rules found" in result.stdout


def test_every_alert_fires_when_it_must_and_only_then(promtool):
    result = promtool("test", "rules", "rules_test.yml")
    assert result.returncode == 0, result.stdout + result.stderr


async def test_prometheus_finds_nothing_to_say_about_our_metrics(promtool, tmp_path):
    async with mesh(tmp_path) as m:
        await m.reserve()
        for name in m.clients:
            page = (await m[name].get("/metrics")).text
            result = promtool("check", "metrics", given=page)
            assert (result.returncode, result.stdout + result.stderr) == (0, ""), name
