"""Run one service in this process: real effects, uvicorn, clean shutdown."""

import gc
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from chassis import runtime, tracing
from chassis.credentials import CredentialsUnusable
from chassis.mutual import Certificates
from chassis.runtime import Runtime
from chassis.settings import ServiceSettings
from chassis.sqlite import is_of_another_format
from chassis.telemetry import configure_logs
from chassis.tracing import Tracing

S = TypeVar("S", bound=ServiceSettings)


def serve(name: str, settings_type: type[S], create_app: Callable[[S, Runtime], FastAPI]) -> None:
    """Read the settings, build the app and answer until SIGTERM; then let running work finish.

    Settings that make no sense, or not enough of them for a shop, end the process with exit code 2 and a line that
    names each; so does a credentials file that is of no use, and a data folder of another version.
    """
    settings = _settings(name, settings_type)
    configure_logs(name, settings)
    folder = settings.tls_dir
    certificates = None if folder is None else Certificates(folder, name)
    try:
        if certificates is not None:
            certificates.for_calls()  # they show here if they are of no use
        recorder = _tracing(name, settings)
        app = create_app(settings, runtime.real(settings.wire, certificates, recorder))
    except CredentialsUnusable as error:
        sys.stderr.write(f"{name}: SERVICE_CREDENTIALS: {error}\n")
        sys.exit(2)
    except OSError as error:
        sys.stderr.write(f"{name}: TLS_DIR: {folder}: {error}\n")
        sys.exit(2)
    _spare_the_collector()
    uvicorn.run(app, **_options(app, settings))


def _settings(name: str, settings_type: type[S]) -> S:
    try:
        settings = settings_type()
    except ValidationError as error:
        for problem in error.errors():
            variable = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {variable}: {problem['msg']}\n")
        sys.exit(2)
    lacking = settings.lacking()
    database = settings.data_dir / f"{name}.db"
    if is_of_another_format(database):
        lacking.append(
            f"DATA_DIR: {database}: otra versión de Taquilla hizo estos datos; usa otra carpeta (--data) o borra esta"
            " · made by another version; use another folder (--data) or delete this one"
        )
    if lacking:
        sys.stderr.writelines(f"{name}: {line}\n" for line in lacking)
        sys.exit(2)
    return settings


def _tracing(name: str, settings: ServiceSettings) -> Tracing:
    if settings.tracing == "off":
        return tracing.OFF
    try:
        return tracing.configured(name)
    except ImportError:
        sys.stderr.write(f"{name}: TRACING: needs the extra `otel` (requirements-otel.lock)\n")
        sys.exit(2)


def _spare_the_collector() -> None:
    """What is here now stays for good, and most of what a request makes goes without the collector's help."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def rehearse(settings_type: type[S], create_app: Callable[[S, Runtime], FastAPI]) -> None:
    """Build what `serve` builds and drop it: for a process that will fork the services.

    Late imports, route tables and schemas, which are made once per process, then exist before the fork. Opens nothing,
    starts no thread and no event loop.

    Raises:
        ValidationError: The settings make no sense.
    """
    # Keys and tokens are each service's own.
    settings = settings_type().model_copy(update={"service_credentials": None, "tls_dir": None})
    effects = runtime.real(settings.wire)
    effects.http("rehearsal")
    app = create_app(settings, effects)
    config = uvicorn.Config(app, **_options(app, settings))
    config.load()
    config.get_loop_factory()


def _options(app: FastAPI, settings: ServiceSettings) -> dict[str, Any]:
    return {
        "host": settings.host,
        "port": settings.port,
        "access_log": False,
        "log_level": "warning",
        "timeout_graceful_shutdown": int(settings.shutdown_grace_s),
        "backlog": 4096,
        "http": app.state.door.protocol(),
        "ws": "none",
        "proxy_headers": False,  # who may speak for others, our own settings say
        "server_header": False,
        **({} if app.state.certificates is None else app.state.certificates.for_uvicorn()),
    }
