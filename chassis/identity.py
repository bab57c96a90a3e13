"""Who may call what: the rule of every route, and the guard that holds it before anything else is done.

A caller is a service, by its token (`chassis.credentials`); the operator, by ADMIN_TOKEN; or the lab, by CHAOS_TOKEN.
Each service's `app.py` says of each of its routes who may call it; a route of which it says nothing does not start.

401 says that no valid token came, 403 that its owner may not do this; both before the body is read. In the lab, where
students call services with curl, a call without a token passes unless SERVICE_AUTH=required; one that shows a token is
judged by it. What no rule knows is for callers with a valid token only, so that nothing opens by being forgotten.

Source: RFC 6750 §2.1, §3.1; docs/adr/0017.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from re import Pattern
from typing import Any, Final, NamedTuple

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import compile_path
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.credentials import Credentials
from chassis.errors import Forbidden, Unauthorized
from chassis.mutual import CERTIFIED
from chassis.openapi import add_refusals, refusals
from chassis.settings import ServiceSettings

OPERATOR: Final = "operator"
"""Who has ADMIN_TOKEN."""

LAB: Final = "lab"
"""Who has CHAOS_TOKEN; anybody where there is none."""

PUBLIC: Final = "*"
"""Anybody, with a token or without."""

Callers = Mapping[str, Sequence[str]]
"""Who may call, by "METHOD /path/{template}"."""

DIAGNOSTICS: Final[Callers] = {
    "GET /metrics": (OPERATOR,),
    "GET /readyz": ("gateway", OPERATOR),  # with its live values; the bare question is anybody's
}

_SCHEME: Final = "token"
_SECURITY: Final[Mapping[str, Any]] = {
    "type": "http",
    "scheme": "bearer",
    "description": "El token de un servicio, ADMIN_TOKEN o CHAOS_TOKEN; en el laboratorio no hace falta "
    "mientras SERVICE_AUTH no lo exija · A service's token, ADMIN_TOKEN or CHAOS_TOKEN; in the lab it is "
    "not needed unless SERVICE_AUTH demands it.",
}


class Rule(NamedTuple):
    """What a guarded route asks for.

    Attributes:
        callers: Who may call; None is whoever has a valid token.
        must: False lets calls without a token pass.
    """

    callers: frozenset[str] | None
    must: bool


def operations(routers: Iterable[APIRouter]) -> list[str]:
    """Every operation of `routers` as "METHOD /path"."""
    return [
        f"{method} {route.path}"
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


def declared(callers: Callers, routers: Sequence[APIRouter]) -> dict[str, Sequence[str]]:
    """Who may call each operation of `routers`.

    Raises:
        ValueError: `callers` does not say so of one of them.
    """
    names = operations(routers)
    forgotten = [name for name in names if name not in callers]
    if forgotten:
        raise ValueError(f"nobody says who may call {', '.join(forgotten)}")
    return {name: callers[name] for name in names}


class Guard:
    """The rules of one app, as its settings make them.

    Args:
        callers: Who may call each operation.
        credentials: The service's; None where it has none.
        settings: The service's.
        is_public: Whether paths that no rule knows are open to anybody; callers then come without certificates.
    """

    def __init__(
        self,
        callers: Callers,
        credentials: Credentials | None,
        settings: ServiceSettings,
        *,
        is_public: bool,
    ) -> None:
        self._credentials = credentials
        self._required = credentials is not None and settings.is_auth_required
        self._certified = settings.tls_dir is not None and not is_public
        words = ((OPERATOR, settings.admin_token), (LAB, settings.chaos_token))
        self._words = [(name, _digest(word.encode())) for name, word in words if word]
        self._others = None if is_public else self._rule("", ())
        self._constant: dict[tuple[str, str], Rule | None] = {}
        self._patterns: list[tuple[str, Pattern[str], Rule | None]] = []
        self._rules = {name: self._rule(name, who) for name, who in callers.items()}
        for name, rule in self._rules.items():
            method, path = name.split(" ")
            if "{" in path:
                self._patterns.append((method, compile_path(path)[0], rule))
            else:
                self._constant[method, path] = rule

    @property
    def is_idle(self) -> bool:
        """Whether everything is open to anybody."""
        return not any((self._others, *self._rules.values()))

    def demands(self, name: str) -> bool:
        """Whether the operation "METHOD /path" is refused to who shows nothing, however it is asked."""
        rule = self._rules.get(name)
        return rule is not None and rule.must and name != "GET /readyz"

    def _rule(self, name: str, callers: Sequence[str]) -> Rule | None:
        allowed, known = frozenset(callers) or None, dict(self._words)
        if PUBLIC in callers:
            return None
        if LAB in callers:
            return Rule(allowed, must=True) if LAB in known else None
        if name in DIAGNOSTICS:
            return Rule(allowed, must=True) if OPERATOR in known else None
        must = self._required or (OPERATOR in callers and OPERATOR in known)
        return Rule(allowed, must) if must or self._credentials is not None else None

    def check(self, scope: Scope) -> None:
        """Let a request pass.

        Raises:
            Unauthorized: It shows no valid token where one is needed.
            Forbidden: Its token is not of a caller that may do this.
        """
        path = scope["path"]
        try:
            rule = self._constant[scope["method"], path]
        except KeyError:
            rule = self._match(scope["method"], path)
        if rule is None or (path == "/readyz" and not scope["query_string"]):
            return
        token = _shown(scope["headers"])
        if token is None:
            if rule.must:
                raise Unauthorized
            return
        caller = None if self._credentials is None else self._credentials.caller(token)
        callers = self._offices(token) if caller is None else (caller,)
        if not callers:
            raise Unauthorized
        if rule.callers is not None and rule.callers.isdisjoint(callers):
            raise Forbidden
        if caller is not None and self._certified and caller not in scope.get(CERTIFIED, ()):
            raise Forbidden  # a service that came with the certificate of another one

    def _match(self, method: str, path: str) -> Rule | None:
        for known, pattern, rule in self._patterns:
            if known == method and pattern.match(path):
                return rule
        return self._others

    def _offices(self, token: bytes) -> Sequence[str]:
        """Whether it is the operator or the lab that shows this token, or both where they have the same."""
        shown = _digest(token)
        return [name for name, word in self._words if hmac.compare_digest(shown, word)]


class GuardMiddleware:
    """Holds the rules of a `Guard` before anything else is done."""

    def __init__(self, app: ASGIApp, *, guard: Guard) -> None:
        self.app = app
        self._check = guard.check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then run the app.

        Raises:
            Unauthorized, Forbidden: See `Guard.check`.
        """
        if scope["type"] == "http":
            self._check(scope)
        await self.app(scope, receive, send)


def with_security(document: dict[str, Any], callers: Callers, guard: Guard) -> dict[str, Any]:
    """The API document with what the guard may say, at every operation that is not anybody's in every mode."""
    said = refusals(Unauthorized, Forbidden, always=())
    is_guarded = False
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            name = f"{method.upper()} {path}"
            if PUBLIC in callers.get(name, (PUBLIC,)):
                continue
            is_guarded = True
            operation["security"] = [*([] if guard.demands(name) else [{}]), {_SCHEME: []}]
            add_refusals(operation, said)
    if is_guarded:
        document.setdefault("components", {})["securitySchemes"] = {_SCHEME: dict(_SECURITY)}
    return document


def _shown(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The bearer token of a request; None where there is no Authorization header.

    Raises:
        Unauthorized: There is one, and it is not one bearer token.
    """
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:
                raise Unauthorized
            found = value
    if found is None:
        return None
    scheme, _, token = found.partition(b" ")
    token = token.strip()
    if not token or (scheme != b"Bearer" and scheme.lower() != b"bearer"):
        raise Unauthorized
    return token


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
