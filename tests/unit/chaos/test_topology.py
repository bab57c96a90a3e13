"""compose.yaml as the runner understands it."""

import pytest
import yaml

from chaos import topology
from chaos.programs import programs
from chaos.topology import TopologyError, interpolate, read

SERVICE = {
    "command": ["python", "-m", "one.app"],
    "healthcheck": {"test": ["CMD", "probe", "http://127.0.0.1:5000/healthz"]},
}

SHOPS = {"ID_SECRET": "s", "ADMIN_TOKEN": "a", "CREDENTIALS_DIR": "/secrets"}
"""What a shop must be given."""


def write(tmp_path, services, name="compose.yaml"):
    path = tmp_path / name
    path.write_text(
        services if isinstance(services, str) else yaml.safe_dump({"services": services})
    )
    return path


def test_the_lab_is_what_the_course_expects():
    mesh = read([topology.COMPOSE], {})
    assert mesh.ports(21_000) == {
        "gateway": 21_000,
        "reservations": 21_001,
        "inventory": 21_002,
        "payments": 21_003,
        "notifications": 21_004,
    }
    assert mesh.entry == "gateway"
    assert mesh.services["gateway"].environment["GATEWAY_MAX_INFLIGHT"] == "5"
    assert mesh.services["inventory"].environment["HOLD_TTL_S"] == "20"
    assert {one.environment["CHAOS_ENABLED"] for one in mesh.services.values()} == {"1"}


def test_the_shop_has_no_chaos_and_holds_for_people():
    mesh = read([topology.COMPOSE, topology.SHOP], SHOPS)
    assert {one.environment["CHAOS_ENABLED"] for one in mesh.services.values()} == {"0"}
    assert mesh.services["gateway"].environment["GATEWAY_LIMIT"] == "adaptive"
    assert mesh.services["inventory"].environment["HOLD_TTL_S"] == "600"


@pytest.mark.parametrize("missing", SHOPS)
def test_the_shop_demands_its_secrets(missing):
    given = {name: value for name, value in SHOPS.items() if name != missing}
    with pytest.raises(TopologyError, match=missing):
        read([topology.COMPOSE, topology.SHOP], given)


def test_the_shop_is_without_the_key_of_the_lab():
    lab = read([topology.COMPOSE], {})
    assert {one.environment["LAB_KEY"] for one in lab.services.values()} == {
        "laboratorio-sin-secretos"
    }
    shop = read([topology.COMPOSE, topology.SHOP], SHOPS)
    assert {one.environment["LAB_KEY"] for one in shop.services.values()} == {""}


def test_programs_find_each_other_on_this_machine(tmp_path):
    found = programs(
        read([topology.COMPOSE], {"GATEWAY_PORT": "21000"}),
        base_port=21_000,
        data=tmp_path,
        folder=tmp_path,
        environment={"HOST": "0.0.0.0", "PATH": "/bin"},
        logs=None,
    )
    gateway = found["gateway"].environment
    assert gateway["RESERVATIONS_URL"] == "http://127.0.0.1:21001"
    assert (gateway["HOST"], gateway["PORT"], gateway["DATA_DIR"]) == (
        "127.0.0.1",
        "21000",
        str(tmp_path),
    )
    assert gateway["PATH"] == "/bin"
    assert found["notifications"].environment["GATEWAY_URL"] == "http://127.0.0.1:21000"


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "1"),
        ("${A:-2}", "1"),
        ("${EMPTY:-2}", "2"),
        ("${B:-}", ""),
        ("x${B:-${A}}y", "x1y"),
        ("$$A", "$A"),
        ("${A:?needed}", "1"),
        ("plain", "plain"),
    ],
)
def test_interpolation(text, result):
    assert interpolate(text, {"A": "1", "EMPTY": ""}) == result


@pytest.mark.parametrize("text", ["$A", "${A", "${A-1}", "${A:+1}", "${B:?is needed}"])
def test_interpolation_refuses_what_it_does_not_understand(text):
    with pytest.raises(TopologyError):
        interpolate(text, {"A": "1"})


@pytest.mark.parametrize(
    "change",
    [
        {"entrypoint": ["x"]},
        {"env_file": ".env"},
        {"scale": 2},
        {"command": "python -m one.app"},
        {"restart": "sometimes"},
        {"healthcheck": {"test": ["CMD", "true"]}},
        {"depends_on": ["ghost"]},
        {"depends_on": ["one"]},
        {"stop_grace_period": "soon"},
        {"environment": ["A=1"]},
    ],
)
def test_keys_that_cannot_be_honoured_are_refused(tmp_path, change):
    with pytest.raises(TopologyError):
        read([write(tmp_path, {"one": {**SERVICE, **change}})], {})


@pytest.mark.parametrize(
    "text", ["", "services:", "a: [", "services: {one: }", "services: []", "services: {one: {}}"]
)
def test_a_malformed_file_is_a_topology_error(tmp_path, text):
    with pytest.raises(TopologyError):
        read([write(tmp_path, text)], {})


def test_a_missing_file_is_a_topology_error(tmp_path):
    with pytest.raises(TopologyError, match="nowhere"):
        read([tmp_path / "nowhere.yaml"], {})


def test_an_overlay_adds_variables_and_replaces_the_rest(tmp_path):
    base = write(
        tmp_path, {"one": {**SERVICE, "environment": {"A": 1, "B": True}, "restart": "no"}}
    )
    over = write(tmp_path, {"one": {"environment": {"A": "2"}, "restart": "always"}}, "over.yaml")
    one = read([base, over], {}).services["one"]
    assert one.environment == {"A": "2", "B": "true"}
    assert one.restart == "always"


@pytest.mark.parametrize(
    ("text", "seconds"), [("10s", 10), ("1m30s", 90), ("500ms", 0.5), ("2m", 120)]
)
def test_durations(tmp_path, text, seconds):
    path = write(tmp_path, {"one": {**SERVICE, "stop_grace_period": text}})
    assert read([path], {}).services["one"].stop_grace_s == seconds
