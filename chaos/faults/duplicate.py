"""The network delivers a request twice: it runs two times, the caller gets the first answer."""

from starlette.types import Message, Receive

from chaos.faults.base import Fault, Injection


async def _effect(injection: Injection) -> None:
    body = await _read(injection.receive)

    async def ignore(_message: Message) -> None:
        return

    await injection.app(dict(injection.scope), _replay(body, injection.receive), injection.send)
    await injection.app(dict(injection.scope), _replay(body, injection.receive), ignore)


async def _read(receive: Receive) -> list[Message]:
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages


def _replay(messages: list[Message], receive: Receive) -> Receive:
    left = list(messages)

    async def replay() -> Message:
        return left.pop(0) if left else await receive()

    return replay


FAULT = Fault(
    name="duplicate",
    summary_es="Cada petición se ejecuta dos veces; se entrega la primera respuesta.",
    summary_en="Every request runs twice; the first answer is given.",
    effect=_effect,
)
