"""Run one service in this process: real effects, uvicorn, clean shutdown."""

import sys
from collections.abc import Callable
from typing import TypeVar

import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from chassis import runtime
from chassis.runtime import Runtime
from chassis.settings import ServiceSettings
from chassis.telemetry import configure_logs

S = TypeVar("S", bound=ServiceSettings)


def serve(name: str, settings_type: type[S], create_app: Callable[[S, Runtime], FastAPI]) -> None:
    """Read the settings, build the app and answer until SIGTERM; then let running work finish.

    Settings that make no sense end the process with exit code 2 and a line that names them.
    """
    try:
        settings = settings_type()
    except ValidationError as error:
        for problem in error.errors():
            variable = "_".join(str(part) for part in problem["loc"]).upper()
            sys.stderr.write(f"{name}: {variable}: {problem['msg']}\n")
        sys.exit(2)
    configure_logs(name, settings)
    app = create_app(settings, runtime.real(settings.wire))
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=30,  # above our clients' 10 s, so that they close first
        timeout_graceful_shutdown=int(settings.shutdown_grace_s),
        backlog=4096,
        ws="none",
        server_header=False,
    )
