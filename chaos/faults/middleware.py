"""Pure ASGI middleware that lets the active faults strike requests.

With none on it costs one dictionary look-up.
"""

from functools import partial

from starlette.types import ASGIApp, Receive, Scope, Send

from chaos.faults.base import Active, Fault, Injection
from chaos.faults.registry import Faults


class FaultMiddleware:
    """Run the app through every fault that strikes the request.

    It stands inside the middleware that buffers the request body, so that a delayed request still
    has its body after its caller left, and inside request ids, problem rendering and metrics, so
    that a struck request is seen like any other.
    """

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the faults.

        Raises:
            ConnectionDropped: A fault broke the connection of a request that has no socket.
        """
        struck = self._faults.striking(scope["path"]) if scope["type"] == "http" else ()
        app = self.app
        for fault, active in reversed(struck):
            app = partial(self._inject, fault, active, app)
        await app(scope, receive, send)

    async def _inject(
        self, fault: Fault, active: Active, app: ASGIApp, scope: Scope, receive: Receive, send: Send
    ) -> None:
        assert fault.effect is not None
        injection = Injection(
            app=app,
            scope=scope,
            receive=receive,
            send=send,
            active=active,
            runtime=self._faults.runtime,
            still_on=lambda: self._faults.active(fault.name) is not None,
        )
        await fault.effect(injection)
