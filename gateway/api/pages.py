"""The page, and the page of one reservation. Read and packed once, kept in memory: no file is touched per request."""

import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response

from chassis.errors import NotFound

MEDIA_TYPES: Final[Mapping[str, str]] = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


_TAKES_GZIP: Final = re.compile(
    r"(?:^|,)\s*(?:x-)?gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*(?:,|$))[^,]*)?(?:,|$)"
)


@dataclass(frozen=True, slots=True)
class _File:
    media_type: str
    plain: bytes
    packed: bytes
    name: str

    @classmethod
    def of(cls, content: bytes, media_type: str) -> "_File":
        name = hashlib.sha256(content).hexdigest()[:20]
        return cls(media_type, content, gzip.compress(content, mtime=0), name)

    def answer(self, request: Request) -> Response:
        packs = _TAKES_GZIP.search(request.headers.get("accept-encoding", "").lower()) is not None
        # What is sent differs by encoding, and so must its tag (RFC 9110 §8.8.3.3).
        etag = f'"{self.name}-gzip"' if packs else f'"{self.name}"'
        headers = {"etag": etag, "cache-control": "no-cache", "vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        if packs:
            headers["content-encoding"] = "gzip"
        content = self.packed if packs else self.plain
        return Response(content, media_type=self.media_type, headers=headers)


@cache
def routes(*, lab_mode: bool) -> APIRouter:
    """`GET /`, `GET /r/{id}` and what they load.

    Args:
        lab_mode: Whether the pages show the lab; they cannot ask without an error in the browser's console.
    """
    router = APIRouter(include_in_schema=False)
    web = _read(lab_mode=lab_mode)

    @router.get("/")
    async def index(request: Request) -> Response:
        return web["index.html"].answer(request)

    @router.get("/r/{reservation_id}")
    async def reservation(request: Request, reservation_id: str) -> Response:  # noqa: ARG001 - the page reads it from its address
        return web["reservation.html"].answer(request)

    @router.get("/favicon.ico")
    async def favicon(request: Request) -> Response:
        return web["favicon.svg"].answer(request)

    @router.get("/web/{name}")
    async def asset(request: Request, name: str) -> Response:
        if name not in web or name.endswith(".html"):
            raise NotFound
        return web[name].answer(request)

    return router


def _read(*, lab_mode: bool) -> Mapping[str, _File]:
    found = {}
    for entry in (files("gateway") / "web").iterdir():
        suffix = f".{entry.name.rpartition('.')[2]}"
        if suffix in MEDIA_TYPES:
            content = entry.read_bytes()
            if lab_mode and suffix == ".html":
                content = content.replace(b'data-lab="0"', b'data-lab="1"')
            found[entry.name] = _File.of(content, MEDIA_TYPES[suffix])
    return found
