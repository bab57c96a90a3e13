"""Waiting for rest: as long as the distance shrinks, and no longer."""

import asyncio
import json
import shutil

import pytest
from click.testing import CliRunner

from chaos.audit import settle
from chaos.audit.books import BooksMissing
from chaos.cli import build
from chaos.texts import Say
from resilience.testing import run_virtual
from tests.controls.world import EPOCH, world


def waiting(data, looks, *, stall_s=30.0):
    loop = asyncio.get_running_loop()
    return settle(
        data,
        stall_s=stall_s,
        now=lambda: EPOCH + loop.time(),
        clock=loop.time,
        sleep=asyncio.sleep,
        show=looks.append,
    )


def test_a_mesh_that_recovers_is_waited_for(tmp_path):
    """Mail was down: the outbox drains, and the distance shrinks to nothing."""

    async def scenario():
        async with world(tmp_path) as w:
            await w.fault("notifications", "down")
            await asyncio.gather(*(w.buy(f"purchase-of-number-{n}", f"u{n}") for n in range(8)))
            await w.fault("notifications", "down", enabled=False)
            looks = []
            return await waiting(tmp_path, looks), looks

    last, looks = run_virtual(scenario())
    assert last.distance == 0
    assert looks[0].distances["I17"] >= 8
    assert looks[0].distance > looks[-1].distance == looks[-2].distance == 0
    assert last.waited_s < 30


def test_a_mesh_that_stalls_is_given_up(tmp_path):
    async def scenario():
        async with world(tmp_path) as w:
            await w.fault("notifications", "down", enabled=True, ttl_s=3000)
            await w.buy()
            await asyncio.sleep(5)
            return await waiting(tmp_path, [], stall_s=10)

    last = run_virtual(scenario())
    assert set(last.distances) == {"I15", "I17"}
    assert 10 <= last.waited_s < 12


def test_without_patience_there_is_one_look_at_what_is_open(tmp_path):
    async def scenario():
        async with world(tmp_path) as w:
            await w.fault("notifications", "down")
            await w.buy()
            looks = []
            await waiting(tmp_path, looks, stall_s=0)
            return looks

    assert len(run_virtual(scenario())) == 1


def test_no_books_are_no_rest(tmp_path):
    with pytest.raises(BooksMissing):
        run_virtual(_wait(tmp_path))


async def _wait(data):
    return await waiting(data, [])


@pytest.fixture(scope="module")
def sold(tmp_path_factory):
    """Books of one sale, and its journal."""
    data = tmp_path_factory.mktemp("sold")

    async def scenario():
        async with world(data) as w:
            await w.buy()
            await asyncio.sleep(30)

    run_virtual(scenario())
    return data


def invoke(*arguments, lang="es"):
    return CliRunner().invoke(build(Say(lang)), ["audit", *map(str, arguments)])


def test_the_command_says_that_the_books_are_true(sold):
    spanish, english = invoke("--data", sold), invoke("--data", sold, lang="en")
    assert spanish.exit_code == english.exit_code == 0, spanish.output
    assert "los libros cuadran" in spanish.output
    assert "the books are true" in english.output
    assert spanish.output.count("✓") == 22
    assert "1 anunciadas" in spanish.output


def test_the_command_speaks_json_and_takes_journals_by_name(sold):
    path = sold / "journal" / "buyers.jsonl"
    result = invoke("--data", sold, "--journal", path, "--json")
    report = json.loads(result.output)
    assert (report["ok"], report["settled"], report["journals"]) == (True, True, [str(path)])
    assert report["facts"]["acknowledged"] == 1


def test_the_command_names_what_offends_and_fails(sold, tmp_path):
    data = shutil.copytree(sold, tmp_path / "false")
    shutil.rmtree(data / "journal")
    (data / "journal").mkdir()
    lie = {
        "op": "reserve",
        "outcome": "ok",
        "status": 200,
        "code": "confirmed",
        "reservation_id": "lie",
    }
    times = {"invoked_s": 0.0, "completed_s": 1.0}
    lines = [{"journal": 1, "began_at": EPOCH}, {**lie, **times}]
    (data / "journal" / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = invoke("--data", data)
    assert result.exit_code == 1
    assert "✗ I7" in result.output
    assert "lie   acknowledged, now nowhere" in result.output
    assert "los libros no cuadran: I7" in result.output


def test_watching_shows_the_distance_in_lines_where_there_is_no_terminal(sold):
    result = invoke("--data", sold, "--watch")
    assert result.exit_code == 0
    assert "distancia 0" in result.output


def test_no_books_and_no_journal_have_their_exit_codes(tmp_path, sold):
    assert invoke("--data", tmp_path).exit_code == 3
    broken = tmp_path / "no.jsonl"
    broken.write_text("hello\n")
    assert invoke("--data", sold, "--journal", broken).exit_code == 2
    assert invoke("--data", sold, "--journal", tmp_path / "none").exit_code == 2
