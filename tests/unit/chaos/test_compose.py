"""The container side: the real Compose and hadolint have their say, from their wheels."""

import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest
import yaml

from chaos.topology import COMPOSE, ROOT, SHOP

SHOPS = {"ID_SECRET": "s", "ADMIN_TOKEN": "a", "CREDENTIALS_DIR": "/secrets"}
"""What a shop must be given."""


def tool(name: str) -> str:
    """The program of that name in this environment; skips where its wheel does not exist."""
    found = shutil.which(name, path=sysconfig.get_path("scripts"))
    if found is None:
        pytest.skip(f"{name} has no wheel for this platform (Linux x86-64 only)")
    return found


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=20, check=False
    )


def test_compose_accepts_the_lab():
    result = run(tool("docker-compose"), "config", "-q")
    assert (result.returncode, result.stderr) == (0, "")


def test_compose_accepts_the_shop_and_publishes_only_the_gateway():
    files = ("-f", str(COMPOSE), "-f", str(SHOP))
    result = run(tool("docker-compose"), *files, "config", **SHOPS)
    assert (result.returncode, result.stderr) == (0, "")
    services = yaml.safe_load(result.stdout)["services"]
    for name, service in services.items():
        assert not service["environment"]["LAB_KEY"], name
        file = f"/secrets/{name}/credentials.json"
        assert service["environment"]["SERVICE_CREDENTIALS"] == file
        own = [one for one in service["volumes"] if one["type"] == "bind"]
        assert [(one["source"], one["read_only"]) for one in own] == [(f"/secrets/{name}", True)]
    assert [name for name, service in services.items() if service.get("ports")] == ["gateway"]


@pytest.mark.parametrize("missing", SHOPS)
def test_the_shop_does_not_start_without_a_secret(missing):
    files = ("-f", str(COMPOSE), "-f", str(SHOP))
    given = {name: value for name, value in SHOPS.items() if name != missing}
    result = run(tool("docker-compose"), *files, "config", "-q", **given)
    assert result.returncode != 0
    assert missing in result.stderr


def test_compose_accepts_what_shows_the_mesh_and_keeps_it_on_this_machine():
    overlay = ROOT / "deploy" / "compose.observability.yaml"
    result = run(tool("docker-compose"), "-f", str(COMPOSE), "-f", str(overlay), "config")
    assert (result.returncode, result.stderr) == (0, "")
    services = yaml.safe_load(result.stdout)["services"]
    assert set(services) - set(yaml.safe_load(COMPOSE.read_text())["services"]) == {
        "prometheus",
        "grafana",
        "jaeger",
    }
    for name, service in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service["ports"]), name
        assert service["cap_drop"] == ["ALL"], name
        for one in service.get("volumes", ()):
            assert one["type"] == "volume" or Path(one["source"]).is_dir(), name
    for name in ("gateway", "reservations", "inventory", "payments", "notifications"):
        assert services[name]["build"]["args"] == {"LOCK": "requirements-otel.lock"}
        assert services[name]["environment"]["TRACING"] == "otlp"


def test_every_service_is_locked_down():
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["user"] == "10001:10001"
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_hadolint_accepts_the_dockerfile():
    result = run(tool("hadolint"), "Dockerfile")
    assert (result.returncode, result.stdout) == (0, "")


def test_scripts_are_executable():
    scripts = [*ROOT.glob("scripts/*"), ROOT / "dev.py", ROOT / ".ci" / "run"]
    names = {path.name for path in scripts if path.is_file() and path.stat().st_mode & 0o111}
    course = {"crash_inventory.sh", "slow_payments.sh", "db_flap.sh", "notifications_down.sh"}
    assert names >= course | {"load_gateway.py", "race_condition.py", "dev.py", "run"}
    assert Path(ROOT / "compose.yaml") == COMPOSE
