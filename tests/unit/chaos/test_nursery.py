"""The nursery: what it bears is a service like any other, and it is never in the way of one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chaos.stack import NotReady, Stack
from tests.support import free_base_port, until
from tests.unit.chaos.test_stack import compose, get, is_alive, stack

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux"),
]

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")

FRESH = {"environment": {"PYTHONHASHSEED": "1"}}
"""What an interpreter reads when it starts: this service cannot be forked."""


def parents(mesh: Stack) -> set[int]:
    return {get(mesh.url(name))["_parent"] for name in mesh.services}


async def test_a_forked_service_sees_what_an_interpreter_of_its_own_would_show_it(tmp_path):
    """Environment, arguments, folder, import path, open files, group and signals: that is its whole world."""
    async with stack(tmp_path, "forked", cellar=FRESH) as mesh:
        forked, fresh = get(mesh.url("door")), get(mesh.url("cellar"))
        assert (fresh["_parent"], forked["_parent"]) == (
            os.getpid(),
            *parents(mesh) - {os.getpid()},
        )
        assert (forked["_group"], fresh["_group"]) == (forked["_pid"], fresh["_pid"])
        assert fresh.pop("PYTHONHASHSEED") == "1"
        own = {"NAME", "PORT", "_pid", "_parent", "_group", "_streams"}
        assert {key: value for key, value in forked.items() if key not in own} == {
            key: value for key, value in fresh.items() if key not in own
        }
        assert Path(f"/proc/{forked['_pid']}/comm").read_text() == "stand_in\n"
        log = tmp_path / "data" / "logs" / "door.log"
        assert log.read_text() == f"escucha {mesh.url('door').rpartition(':')[2]}\n"


async def test_all_are_born_in_one_nursery_and_one_of_them_comes_back_alone(tmp_path):
    async with stack(tmp_path, "forked") as mesh:
        (nursery,) = parents(mesh)
        before = mesh.pids
        await mesh.kill("room")
        await until(lambda: mesh.restarts["room"] == 1, 10)
        await mesh.healthy("room")
        assert parents(mesh) == {nursery}
        assert {name for name in before if mesh.pids[name] != before[name]} == {"room"}
    assert not is_alive(nursery)


async def test_the_five_of_compose_yaml_are_forked(tmp_path):
    """Whatever the nursery imports exists: nothing says aloud that a mesh came up without it."""
    async with Stack(base_port=free_base_port(), data=tmp_path) as mesh:
        stats = [Path(f"/proc/{pid}/stat").read_text() for pid in mesh.pids.values()]
        assert len(stats) == 5
        (nursery,) = {int(stat.rpartition(")")[2].split()[1]) for stat in stats}
        assert nursery != os.getpid()


def test_what_is_rehearsed_before_the_fork_leaves_nothing_that_must_not_be_forked():
    """A thread would be missing in every service, a file or an event loop would be shared by all."""
    code = (
        "import importlib, os, threading; from chassis.serve import rehearse\n"
        "before = os.listdir('/proc/self/fd')\n"
        f"for name in {SERVICES!r}:\n"
        "    app = importlib.import_module(f'{name}.app')\n"
        "    rehearse(app.Settings, app.create_app)\n"
        "assert os.listdir('/proc/self/fd') == before\n"
        "assert threading.enumerate() == [threading.main_thread()]\n"
        "assert len(os.listdir('/proc/self/task')) == 1\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CHAOS_ENABLED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_a_nursery_that_dies_takes_its_services_along_and_all_come_back(tmp_path):
    async with stack(tmp_path, "forked") as mesh:
        (nursery,) = parents(mesh)
        before = mesh.pids
        os.kill(nursery, signal.SIGKILL)
        await until(lambda: min(mesh.restarts.values()) >= 1, 10)
        for name in mesh.services:
            await mesh.healthy(name)
        assert nursery not in parents(mesh)
        assert not any(is_alive(pid) for pid in (nursery, *before.values()))


@pytest.mark.parametrize(
    ("mood", "number", "cause"),
    [("crash", None, "exit 3"), ("", signal.SIGKILL, "SIGKILL"), ("", signal.SIGTERM, "exit 0")],
)
async def test_the_runner_hears_every_line_and_how_a_service_ended(tmp_path, mood, number, cause):
    lines = []
    cellar = {"environment": {"MOOD": mood}}
    mesh = Stack(
        base_port=free_base_port(3),
        data=tmp_path / "data",
        files=(compose(tmp_path, "forked", cellar=cellar),),
        quiet=False,
        tell=lambda name, line: lines.append((name, line)),
    )
    try:
        async with mesh:
            await mesh.kill("cellar", number)
            await until(lambda: mesh.restarts["cellar"] == 1, 10)
    except NotReady:
        assert mood == "crash"
    said = [line for name, line in lines if name == "cellar"]
    first = "no puedo arrancar" if mood else f"escucha {mesh.base_port + 2}"
    assert said[:2] == [first, f"-- terminó ({cause}); vuelve en 0.2 s"]


async def test_a_service_that_cannot_be_imported_says_so_itself(tmp_path):
    """The nursery dies of it; then each service starts by itself, and only the broken one fails."""
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    room = {"command": ["python", "-m", "broken"]}
    with pytest.raises(NotReady) as caught:
        async with stack(tmp_path, "forked", room=room):
            pass
    assert caught.value.waiting_for[0] == "room"
    assert "ModuleNotFoundError" in caught.value.tails["room"][-1]
