"""The answer begins at once and then drips: read timers stay happy while it takes for ever."""

from typing import Final

from starlette.types import Message

from chaos.faults.base import Fault, Injection

_PIECES: Final = 20


async def _effect(injection: Injection) -> None:
    async def drip(message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] != "http.response.body" or not body:
            await injection.send(message)
            return
        size = -(-len(body) // _PIECES)
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        for piece in pieces:
            await injection.runtime.sleep(injection.active.seconds / len(pieces))
            await injection.send({"type": "http.response.body", "body": piece, "more_body": True})
        await injection.send(
            {
                "type": "http.response.body",
                "body": b"",
                "more_body": message.get("more_body", False),
            }
        )

    await injection.app(injection.scope, injection.receive, drip)


FAULT = Fault(
    name="slow_body",
    summary_es="La respuesta llega gota a gota durante unos segundos.",
    summary_en="The answer drips in over some seconds.",
    effect=_effect,
    default_seconds=10.0,
)
