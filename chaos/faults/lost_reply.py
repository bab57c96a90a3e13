"""The cruellest one: the request is executed, its answer is lost and the connection breaks."""

from starlette.types import Message

from chaos.faults.base import Fault, Injection
from chaos.faults.wire import hang_up


async def _effect(injection: Injection) -> None:
    async def lose(_message: Message) -> None:
        return

    await injection.app(injection.scope, injection.receive, lose)
    await hang_up(injection)


FAULT = Fault(
    name="lost_reply",
    summary_es="La petición se ejecuta, pero la respuesta se pierde y la conexión se corta.",
    summary_en="The request runs, but its answer is lost and the connection breaks.",
    effect=_effect,
)
