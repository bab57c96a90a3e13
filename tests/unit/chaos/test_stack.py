"""The local runner on real, tiny processes: in interpreters of their own, and forked in the nursery."""

import asyncio
import json
import os
import shutil
import signal
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from chaos import state
from chaos.stack import NotReady, PortTaken, Stack
from tests.support import free_base_port, until

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

STAND_IN = Path(__file__).with_name("stand_in.py")
COMMANDS = {"fresh": ["python", "-S", str(STAND_IN)], "forked": ["python", "-m", "stand_in"]}


@pytest.fixture(
    params=[
        "fresh",
        pytest.param(
            "forked", marks=pytest.mark.skipif(sys.platform != "linux", reason="forks on Linux")
        ),
    ]
)
def born(request):
    """How the services come into being."""
    return request.param


def compose(tmp_path: Path, born: str = "fresh", **changes) -> Path:
    """Three stand-ins: `door` needs `room`, `room` needs `cellar`; `changes` by service name."""
    shutil.copy(STAND_IN, tmp_path)
    services = {}
    for index, (name, needs) in enumerate(
        {"door": ["room"], "room": ["cellar"], "cellar": []}.items()
    ):
        port = 5000 + index
        own = changes.get(name, {})
        services[name] = {
            "command": COMMANDS[born],
            "depends_on": {other: {"condition": "service_healthy"} for other in needs},
            "restart": "unless-stopped",
            "stop_grace_period": "1s",
            "healthcheck": {"test": ["CMD", "probe", f"http://127.0.0.1:{port}/healthz"]},
            **own,
            "environment": {
                "NAME": name,
                "PORT": str(port),
                "ROOM_URL": "http://room:5001",
                **own.get("environment", {}),
            },
        }
    path = tmp_path / "compose.yaml"
    path.write_text(yaml.safe_dump({"services": services}, sort_keys=False))
    return path


def stack(tmp_path: Path, born: str = "fresh", **changes) -> Stack:
    return Stack(
        base_port=free_base_port(3),
        data=tmp_path / "data",
        files=(compose(tmp_path, born, **changes),),
        start_limit_s=10,
    )


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=2) as response:
        return json.load(response)


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text() if sys.platform == "linux" else ""
        os.kill(pid, 0)
    except OSError:
        return False
    return ") Z" not in status


async def test_services_find_each_other_on_the_ports_of_their_mesh(tmp_path, born):
    async with stack(tmp_path, born) as mesh:
        seen = get(mesh.url("door"))
        assert seen["ROOM_URL"] == mesh.url("room")
        assert seen["HOST"] == "127.0.0.1"
        assert seen["DATA_DIR"] == str(tmp_path / "data")
        assert set(mesh.pids) == {"door", "room", "cellar"}


async def test_a_killed_service_comes_back_with_another_pid(tmp_path, born):
    async with stack(tmp_path, born) as mesh:
        before = mesh.pids["room"]
        await mesh.kill("room")
        await until(lambda: mesh.pids.get("room") not in (None, before), 10)
        await mesh.healthy("room")
        assert get(mesh.url("room"))["_pid"] == mesh.pids["room"]
        assert mesh.restarts["room"] == 1
        record = state.find(mesh.base_port, None, tmp_path / "elsewhere")
        assert record["services"]["room"]["pid"] == mesh.pids["room"]


async def test_stopping_goes_in_reverse_order_of_need_and_leaves_nothing(tmp_path, born):
    async with stack(tmp_path, born) as mesh:
        pids = list(mesh.pids.values())
    order = [line.split()[0] for line in (tmp_path / "data" / "order.txt").read_text().splitlines()]
    assert order == ["door", "room", "cellar"]
    assert not any(is_alive(pid) for pid in pids)
    assert state.find(mesh.base_port, tmp_path / "data", tmp_path) is None


async def test_a_process_that_ignores_sigterm_is_killed_after_its_grace(tmp_path, born):
    stubborn = {"environment": {"MOOD": "stubborn"}, "stop_grace_period": "200ms"}
    async with stack(tmp_path, born, cellar=stubborn) as mesh:
        pid = mesh.pids["cellar"]
    assert not is_alive(pid)


async def test_a_stopped_process_still_ends_politely(tmp_path, born):
    async with stack(tmp_path, born) as mesh:
        await mesh.kill("cellar", signal.SIGSTOP)
    assert "cellar" in (tmp_path / "data" / "order.txt").read_text()


async def test_hard_stop_lets_nobody_clean_up(tmp_path, born):
    async with stack(tmp_path, born) as mesh:
        await mesh.stop(kill=True)
        assert not (tmp_path / "data" / "order.txt").exists()


async def test_a_taken_port_is_refused_with_its_holder(tmp_path, born):
    async with stack(tmp_path, born) as mesh:
        second = Stack(
            base_port=mesh.base_port, data=tmp_path / "other", files=(tmp_path / "compose.yaml",)
        )
        with pytest.raises(PortTaken) as caught:
            await second.start()
        await second.stop()
        assert caught.value.port == mesh.base_port
        if sys.platform == "linux":
            assert f"pid {mesh.pids['door']}" in caught.value.holder


async def test_two_runners_never_share_a_data_folder(tmp_path, born):
    async with stack(tmp_path, born) as mesh:
        second = Stack(
            base_port=free_base_port(3), data=mesh.data, files=(tmp_path / "compose.yaml",)
        )
        with pytest.raises(state.DataDirTaken) as caught:
            await second.start()
        assert caught.value.pid == str(os.getpid())
        assert state.find(mesh.base_port, mesh.data, mesh.data) is not None


async def test_a_service_that_cannot_start_is_named_with_its_last_words(tmp_path, born):
    broken = {"environment": {"MOOD": "crash"}}
    with pytest.raises(NotReady) as caught:
        async with stack(tmp_path, born, room=broken):
            pass
    assert "room" in caught.value.waiting_for
    assert "no puedo arrancar" in caught.value.tails["room"]


async def test_a_service_without_restart_stays_down(tmp_path, born):
    async with stack(tmp_path, born, cellar={"restart": "no"}) as mesh:
        await mesh.kill("cellar")
        assert "cellar" not in mesh.pids
        assert mesh.restarts["cellar"] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
async def test_services_die_with_a_runner_that_was_killed_hard(tmp_path, born):
    code = (
        "import asyncio, sys; from pathlib import Path; from chaos.stack import Stack\n"
        "async def main():\n"
        "    data, file = Path(sys.argv[2]), Path(sys.argv[3])\n"
        "    async with Stack(base_port=int(sys.argv[1]), data=data, files=(file,)) as s:\n"
        "        print(*s.pids.values(), flush=True); await s.ended()\n"
        "asyncio.run(main())\n"
    )
    arguments = [str(free_base_port(3)), str(tmp_path / "data"), str(compose(tmp_path, born))]
    runner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *arguments, stdout=asyncio.subprocess.PIPE
    )
    pids = [int(word) for word in (await runner.stdout.readline()).split()]
    assert len(pids) == 3
    runner.kill()
    await runner.wait()
    await until(lambda: not any(is_alive(pid) for pid in pids), 10)
