"""One buying process: `python -m chaos.load.worker`, started by `crew`, which it talks to in JSON lines.

In: an order (`Share.as_wire`, port, journal), and when it has said that it is ready the schedule's zero, on the
monotonic clock that all processes of a machine share. When its input ends it starts nothing more. Out: each second when
it is over (`Second.as_wire`), and at the end the number of the last. Imports little, so that it is ready soon.
"""

import asyncio
import contextlib
import gc
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chaos.journal import Journal
from chaos.load.engine import Engine
from chaos.load.plan import Share
from chaos.load.wire import Client
from chaos.ports import LOOPBACK

_CLOCK = time.monotonic  # noqa: TID251 - a process of its own, that must start fast


def main() -> None:
    """Take the order, carry it out."""
    line = sys.stdin.buffer.readline()
    if not line:
        return
    order = json.loads(line)
    gc.collect()
    gc.freeze()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner, _journal(order) as journal:
        _say({"ready": True})
        begin = sys.stdin.buffer.readline()
        if begin:
            runner.run(_buy(order, float(begin), journal))


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415 - not on Windows
    except ImportError:
        return None
    return uvloop.new_event_loop


@contextlib.contextmanager
def _journal(order: dict[str, Any]) -> Iterator[Journal | None]:
    if order["journal"] is None:
        yield None
        return
    path, began_s = Path(order["journal"]["path"]), order["journal"]["began_s"]
    with Journal.join(path, clock=_CLOCK, began_s=began_s) as journal:
        yield journal


async def _buy(order: dict[str, Any], begin_s: float, journal: Journal | None) -> None:
    loop = asyncio.get_running_loop()
    client = Client(LOOPBACK, order["port"], _CLOCK)
    engine = Engine(Share.from_wire(order["share"]), client, _CLOCK, journal)
    loop.set_exception_handler(lambda _loop, context: _fail(engine, context))
    if sys.platform != "win32":  # where pipes cannot be watched
        loop.add_reader(sys.stdin.fileno(), _input_ended, loop, engine)
    reports = _Reports(engine)
    reporting = loop.create_task(reports.each_second())
    try:
        await engine.run(begin_s)
    finally:
        reporting.cancel()
        client.close()
    reports.last()


class _Reports:
    """Seconds when they are over, with what they cost this process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._cpu_s = time.process_time()

    async def each_second(self) -> None:
        engine, number = self._engine, 0
        while True:
            number = max(number + 1, int(engine.now_s))
            await asyncio.sleep(max(0.0, number - engine.now_s))
            self._meter(number - 1)
            for ended, second in engine.take_seconds(before=number):
                _say({"second": ended, **second.as_wire()})

    def last(self) -> None:
        self._meter(max(0, int(self._engine.now_s)))
        for ended, second in self._engine.take_seconds():
            _say({"second": ended, **second.as_wire()})

    def _meter(self, number: int) -> None:
        second = self._engine.number(number)
        second.in_flight = self._engine.in_flight
        cpu_s = time.process_time()
        second.cpu_s += cpu_s - self._cpu_s
        self._cpu_s = cpu_s


def _input_ended(loop: asyncio.AbstractEventLoop, engine: Engine) -> None:
    loop.remove_reader(sys.stdin.fileno())
    engine.stop()


def _fail(engine: Engine, context: dict[str, Any]) -> None:
    error = context.get("exception")
    engine.fail(error if isinstance(error, Exception) else RuntimeError(context["message"]))


def _say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
