"""compose.yaml as data: the one description of the mesh, for containers and local processes.

Understood: `command environment depends_on healthcheck restart stop_grace_period ports`, anchors
and merge keys, overlays, and `${VAR}`, `${VAR:-default}`, `${VAR:?message}`. What only matters to
containers is skipped by name; any other key is refused, because a local run that ignored it would
not be the same mesh.

Not here: starting anything (`stack`).
Source: the Compose Specification, 05-services.md, 12-interpolation.md, 13-merge.md.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
"""The checkout: where compose.yaml lies and the services run."""

COMPOSE: Final = ROOT / "compose.yaml"
SHOP: Final = ROOT / "deploy" / "compose.shop.yaml"

_CONTAINER_ONLY: Final = frozenset(
    {"image", "build", "pull_policy", "init", "read_only", "tmpfs", "cap_drop", "security_opt"}
    | {"user", "deploy", "volumes", "networks", "labels", "logging"}
)
_HONOURED: Final = frozenset(
    ("command", "environment", "depends_on", "healthcheck", "restart", "stop_grace_period", "ports")
)
_RESTARTS: Final = frozenset({"no", "on-failure", "always", "unless-stopped"})
_URL: Final = re.compile(r"http://(?:127\.0\.0\.1|localhost):(\d+)(/[^\s'\"]*)")
_DURATION: Final = re.compile(r"(?:(\d+)m(?!s))?(?:(\d+)s)?(?:(\d+)ms)?")


class TopologyError(Exception):
    """compose.yaml says something that a local run cannot honour, or misses something needed.

    Args:
        where: File, service or key.
        message: What is wrong, English.
    """

    def __init__(self, where: str, message: str) -> None:
        super().__init__(f"{where}: {message}")


@dataclass(frozen=True, slots=True)
class Service:
    """One service of the mesh.

    Attributes:
        port: The port it listens on inside its container.
        health_path: Path that answers 200 once it is alive.
        stop_grace_s: Seconds between the polite and the hard stop.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    depends_on: tuple[str, ...]
    port: int
    health_path: str
    restart: str
    stop_grace_s: float


@dataclass(frozen=True, slots=True)
class Topology:
    """The services in the order of the file."""

    services: Mapping[str, Service] = field(default_factory=dict)

    def ports(self, base_port: int) -> dict[str, int]:
        """Local port by service: the lowest container port becomes `base_port`, the rest follow."""
        lowest = min(service.port for service in self.services.values())
        return {name: base_port + service.port - lowest for name, service in self.services.items()}

    @property
    def entry(self) -> str:
        """The service that callers outside use: the first on which no other depends."""
        needed = {other for service in self.services.values() for other in service.depends_on}
        return next(name for name in self.services if name not in needed)

    def stop_order(self) -> list[list[str]]:
        """Groups to stop one after the other: nobody loses a service that it depends on."""
        left, groups = dict(self.services), list[list[str]]()
        while left:
            needed = {other for service in left.values() for other in service.depends_on}
            group = [name for name in left if name not in needed]
            if not group:
                raise TopologyError("depends_on", f"runs in a circle: {', '.join(left)}")
            groups.append(group)
            for name in group:
                del left[name]
        return groups


def read(files: Sequence[Path], variables: Mapping[str, str]) -> Topology:
    """The topology of a Compose file and its overlays.

    Args:
        files: The file and then its overlays.
        variables: What `${VAR}` refers to.

    Raises:
        TopologyError: A file is missing or malformed, a variable is demanded and not set, or a key
            is not understood.
    """
    merged: dict[str, dict[str, Any]] = {}
    for path in files:
        for name, raw in _load(path).items():
            _merge(
                merged.setdefault(name, {}), _interpolated(raw, variables, f"{path.name}: {name}")
            )
    if not merged:
        raise TopologyError(files[0].name, "no services")
    topology = Topology({name: _service(name, raw) for name, raw in merged.items()})
    for service in topology.services.values():
        for other in service.depends_on:
            if other not in topology.services:
                raise TopologyError(service.name, f"depends_on {other}, which does not exist")
    topology.stop_order()
    return topology


class _Loader(yaml.SafeLoader):
    """SafeLoader that knows Compose's `!reset` and `!override`; no global loader changes."""


def _replacement(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return None


_Loader.add_constructor("!reset", _replacement)
_Loader.add_constructor("!override", _replacement)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise TopologyError(str(path), str(error.strerror)) from error
    except yaml.YAMLError as error:
        raise TopologyError(path.name, str(error)) from error
    services = document.get("services") if isinstance(document, dict) else None
    if not isinstance(services, dict) or not all(map(_is_mapping, services.values())):
        raise TopologyError(path.name, "no services")
    return services


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _merge(into: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if key == "environment":
            if not isinstance(value, dict):
                raise TopologyError(key, "must be a mapping")
            into[key] = {**into.get(key, {}), **value}
        else:
            into[key] = value


def _interpolated(raw: Any, variables: Mapping[str, str], where: str) -> Any:
    if isinstance(raw, dict):
        return {key: _interpolated(value, variables, where) for key, value in raw.items()}
    if isinstance(raw, list):
        return [_interpolated(value, variables, where) for value in raw]
    return interpolate(raw, variables, where) if isinstance(raw, str) else raw


def interpolate(text: str, variables: Mapping[str, str], where: str = "") -> str:
    """`text` with its `${…}` replaced.

    An empty variable counts as missing, defaults may nest, `$$` is a dollar.

    Raises:
        TopologyError: A form other than the three understood ones, or a demanded variable that is
            not set.
    """
    out, at = "", 0
    while (found := text.find("$", at)) >= 0:
        out += text[at:found]
        if text[found : found + 2] == "$$":
            out, at = out + "$", found + 2
            continue
        if text[found : found + 2] != "${":
            raise TopologyError(where, f"bare $ in {text!r}")
        end = _closing(text, found + 2, where)
        out += _value(text[found + 2 : end], variables, where)
        at = end + 1
    return out + text[at:]


def _closing(text: str, start: int, where: str) -> int:
    depth = 1
    for at in range(start, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if depth == 0:
            return at
    raise TopologyError(where, f"unclosed ${{ in {text!r}")


def _value(expression: str, variables: Mapping[str, str], where: str) -> str:
    match = re.fullmatch(r"(\w+)(?::([-?])(.*))?", expression, re.DOTALL)
    if match is None:
        raise TopologyError(where, f"not understood: ${{{expression}}}")
    name, operator, rest = match.groups()
    if variables.get(name):
        return variables[name]
    if operator == "?":
        raise TopologyError(where, f"{name} is not set: {rest}")
    return interpolate(rest, variables, where) if operator == "-" else ""


def _service(name: str, raw: Mapping[str, Any]) -> Service:
    strange = set(raw) - _HONOURED - _CONTAINER_ONLY
    if strange:
        raise TopologyError(name, f"not understood: {', '.join(sorted(strange))}")
    command = raw.get("command")
    if not isinstance(command, list) or not command:
        raise TopologyError(name, "command must be a list")
    # YAML reads a bare `no` as false.
    restart = "no" if raw.get("restart") is False else str(raw.get("restart", "no"))
    if restart not in _RESTARTS:
        raise TopologyError(name, f"restart {restart!r} is not understood")
    port, health_path = _health(name, raw.get("healthcheck", {}))
    return Service(
        name=name,
        command=tuple(map(str, command)),
        environment={key: _text(value) for key, value in raw.get("environment", {}).items()},
        depends_on=tuple(raw.get("depends_on", ())),
        port=port,
        health_path=health_path,
        restart=restart,
        stop_grace_s=_seconds(name, raw.get("stop_grace_period", "10s")),
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _health(name: str, raw: Mapping[str, Any]) -> tuple[int, str]:
    found = _URL.search(" ".join(map(str, raw.get("test", ()))))
    if found is None:
        raise TopologyError(name, "healthcheck.test must name http://127.0.0.1:PORT/path")
    return int(found[1]), found[2]


def _seconds(name: str, text: Any) -> float:
    match = _DURATION.fullmatch(str(text))
    if match is None or not any(match.groups()):
        raise TopologyError(name, f"{text!r} is not a duration such as 10s")
    minutes, seconds, milliseconds = (int(part or 0) for part in match.groups())
    return minutes * 60 + seconds + milliseconds / 1000
