"""From services in containers to programs on this machine. No process is started here."""

import os
import re
import sys
from collections import ChainMap
from collections.abc import Mapping
from pathlib import Path

from chaos import tether
from chaos.nursery import Nursery
from chaos.ports import LOOPBACK, Tls
from chaos.process import Program
from chaos.topology import Service, Topology


def programs(
    topology: Topology,
    *,
    base_port: int,
    data: Path,
    folder: Path,
    environment: Mapping[str, str],
    logs: Path | None,
) -> dict[str, Program]:
    """What to start for each service.

    `http://SERVICE:PORT` in a value becomes the service's local address, HOST the loopback address,
    PORT the local port, DATA_DIR the data folder. What compose.yaml says wins over what this
    process inherited.

    Args:
        topology: The mesh.
        base_port: Local port of the first service.
        data: Folder of the databases.
        folder: Working directory.
        environment: What every program inherits.
        logs: Folder for one log file each; None leaves output to the runner.
    """
    ports = topology.ports(base_port)

    def as_local(value: str) -> str:
        def here(match: re.Match[str]) -> str:
            service = topology.services.get(match[1])
            known = service is not None and service.port == int(match[2])
            return f"http://{LOOPBACK}:{ports[match[1]]}" if known else match[0]

        return re.sub(r"http://([\w-]+):(\d+)", here, value)

    def program(service: Service) -> Program:
        own = {name: as_local(value) for name, value in service.environment.items()}
        # The door that buyers use is plain; behind it everybody shows a certificate.
        certified = None if service.name == topology.entry else own.get("TLS_DIR")
        own |= {"HOST": LOOPBACK, "PORT": str(ports[service.name]), "DATA_DIR": str(data)}
        return Program(
            name=service.name,
            argv=_local_command(service.command),
            environment={**environment, "PYTHONUNBUFFERED": "1", **own},
            folder=folder,
            port=ports[service.name],
            health_path=service.health_path,
            restart=service.restart,
            stop_grace_s=service.stop_grace_s,
            log=logs / f"{service.name}.log" if logs is not None else None,
            module=_module(service),
            tls=Tls(Path(certified), service.name) if certified else None,
        )

    return {name: program(service) for name, service in topology.services.items()}


def nursery_for(programs: Mapping[str, Program]) -> Nursery | None:
    """Where those that have a module are born; None if none has one."""
    forked = [program for program in programs.values() if program.module is not None]
    if not forked:
        return None
    modules = [program.module for program in forked if program.module is not None]
    everything = ChainMap(*(dict(program.environment) for program in forked))
    return Nursery(modules, forked[0].folder, everything)


def _module(service: Service) -> str | None:
    """The module of `python -m MODULE` where a fork does the same as a fresh interpreter."""
    match service.command:
        # An interpreter reads PYTHON… when it starts: those of one service need one of its own.
        case ("python" | "python3", "-m", module) if sys.platform == "linux" and not any(
            name.startswith("PYTHON") for name in service.environment
        ):
            return module
    return None


def _local_command(command: tuple[str, ...]) -> tuple[str, ...]:
    argv = (sys.executable, *command[1:]) if command[0] in ("python", "python3") else command
    if sys.platform != "linux":
        return argv
    return (sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *argv)
