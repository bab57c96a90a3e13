"""The command line: words, exit codes, and every command against a stand-in mesh."""

import asyncio
import json
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from click.testing import CliRunner

from chaos import topology
from chaos.cli import build
from chaos.stack import Stack
from chaos.texts import Say
from tests.support import free_base_port, until
from tests.unit.chaos.test_stack import compose, is_alive


def invoke(*arguments: str, lang: str = "es"):
    return CliRunner().invoke(build(Say(lang)), list(arguments))


class FakeMesh(BaseHTTPRequestHandler):
    """All five services in one handler; the class holds what they were told and how they sell."""

    told: ClassVar[list[tuple[str, str, dict]]] = []
    free = 0

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or "{}")
        self.told.append((self.command, self.path, body))
        status, content = self._content(body)
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _content(self, body: dict) -> tuple[int, dict]:
        kind = type(self)
        match self.path:
            case "/chaos/nothing":
                return 404, {"code": "fault_not_found", "detail": "no existe"}
            case "/chaos" | "/healthz":
                return 200, {"faults": []}
            case "/events":
                event = {
                    "event_id": "concert-01",
                    "available": self.free,
                    "held": 0,
                    "sold": -self.free,
                }
                return 200, {"events": [event]}
            case "/admin/reset":
                kind.free = body["seats"]
                return 200, {}
            case "/api/reserve" if kind.free > 0:
                kind.free -= 1
                return 200, {"status": "confirmed"}
            case "/api/reserve":
                return 409, {"code": "sold_out"}
        fault = {"name": self.path.split("/")[-1], "enabled": True, "left_s": 300, "seconds": 20.0}
        return 200, {**fault, "probability": 1, "route": "*", "summary_es": "", "summary_en": ""}

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - names of http.server

    def log_message(self, *_args) -> None:
        return


@pytest.fixture
def mesh():
    """Base port of a fake mesh on five ports."""
    FakeMesh.told, FakeMesh.free = [], 30
    base = free_base_port()
    servers = [HTTPServer(("127.0.0.1", base + offset), FakeMesh) for offset in range(5)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,)) for server in servers]
    for thread in threads:
        thread.start()
    yield str(base)
    for server, thread in zip(servers, threads, strict=True):
        server.shutdown()
        server.server_close()
        thread.join()


def test_help_speaks_both_languages_and_teaches():
    for arguments in (
        [],
        ["up"],
        ["ps"],
        ["kill"],
        ["chaos"],
        ["chaos", "on"],
        ["load"],
        ["race"],
        ["audit"],
    ):
        spanish = invoke(*arguments, "--help")
        english = invoke(*arguments, "--help", lang="en")
        assert spanish.exit_code == english.exit_code == 0
        assert "Uso: " in spanish.output
        assert "Usage: " in english.output
        if arguments != ["ps"]:
            assert spanish.output != english.output
    assert "taquilla chaos on slow-payments" in invoke("chaos", "--help").output


@pytest.mark.parametrize(
    "arguments",
    [
        ["nada"],
        ["chaos", "on", "no-such"],
        ["chaos", "on", "gateway/../x"],
        ["chaos", "on", "crash-inventory", "--probability", "2"],
        ["load", "--duration", "3"],
        ["load", "--rate", "3", "--workers", "2"],
        ["load", "--requests", "0"],
        ["load", "--arrivals", "poisson"],
        ["load", "--seed", "3"],
        ["load", "--rate", "5", "--seed", "3"],
        ["load", "--workers", "2", "--processes", "3"],
        ["load", "--rate", "5", "--requests", "9", "--duration", "3"],
        ["load", "--rate", "20000", "--duration", "11"],
        ["load", "--rate", "1", "--requests", "3601"],
        ["up", "--port", "70000"],
    ],
)
def test_wrong_usage_is_exit_code_2(arguments):
    assert invoke(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [["chaos", "list"], ["chaos", "on", "db-flap"], ["chaos", "reset"], ["load"], ["race"], ["ps"]],
)
def test_no_mesh_is_exit_code_3(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert invoke(*arguments, "--port", str(free_base_port())).exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["crash-inventory"], ("/chaos/crash", {"enabled": True, "ttl_s": 300.0})),
        (
            ["slow-payments", "--seconds", "20", "--for", "60"],
            ("/chaos/latency", {"seconds": 20.0, "ttl_s": 60.0}),
        ),
        (
            ["inventory/lost_reply", "--probability", "0.2", "--route", "/confirm"],
            (
                "/chaos/lost_reply",
                {"enabled": True, "ttl_s": 300.0, "probability": 0.2, "route": "/confirm"},
            ),
        ),
    ],
)
def test_switching_on_sends_what_was_asked(mesh, arguments, told):
    result = invoke("chaos", "on", *arguments, "--port", mesh)
    assert result.exit_code == 0
    assert FakeMesh.told == [("POST", *told)]
    assert "quedan 300 s" in result.output


def test_switching_off_and_resetting(mesh):
    assert invoke("chaos", "off", "db-flap", "--port", mesh).exit_code == 0
    assert FakeMesh.told.pop() == ("POST", "/chaos/db_flap", {"enabled": False})
    result = invoke("chaos", "reset", "--port", mesh, "--json")
    assert json.loads(result.output)["reset"] == dict.fromkeys(
        topology.read([topology.COMPOSE], {}).services, True
    )
    assert [told[:2] for told in FakeMesh.told] == [("DELETE", "/chaos")] * 5


def test_a_fault_that_the_service_lacks_is_exit_code_2(mesh):
    result = invoke("chaos", "on", "inventory/nothing", "--port", mesh)
    assert result.exit_code == 2
    assert "fault_not_found" in result.output


def test_load_reports_and_passes(mesh):
    result = invoke("load", "--requests", "40", "--workers", "4", "--port", mesh, "--json")
    report = json.loads(result.output)
    assert result.exit_code == 0
    counts = {one["code"]: one["count"] for one in report["outcomes"]}
    assert counts == {"confirmed": 30, "sold_out": 10}
    assert invoke("load", "--requests", "3", "--port", mesh).exit_code == 0


def test_load_draws_a_page_where_it_can_be_written(mesh, tmp_path):
    page = tmp_path / "new" / "load.html"
    arguments = ("--rate", "50", "--requests", "20", "--port", mesh)
    result = invoke("load", *arguments, "--html", str(page))
    assert result.exit_code == 0, result.output
    assert str(page) in result.output
    assert "20 reservas" in result.output
    assert '<html lang="es">' in page.read_text(encoding="utf-8")
    FakeMesh.told.clear()
    refused = invoke("load", *arguments, "--html", str(page / "below.html"))
    assert refused.exit_code == 2
    assert not [told for told in FakeMesh.told if told[1] == "/api/reserve"], "nothing was bought"


@pytest.mark.parametrize("command", ["load", "race"])
def test_a_journal_that_cannot_be_written_is_said_before_anything_is_bought(
    mesh, tmp_path, command
):
    (tmp_path / "file").touch()
    FakeMesh.told.clear()
    refused = invoke(command, "--port", mesh, "--journal", str(tmp_path / "file" / "j.jsonl"))
    assert (refused.exit_code, "--journal" in refused.output) == (2, True)
    assert not [told for told in FakeMesh.told if told[1] == "/api/reserve"]


def test_race_passes_and_fails_by_exit_code(mesh):
    result = invoke("race", "--buyers", "8", "--port", mesh, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["ok"] is True
    assert FakeMesh.free == 30
    assert "no seat was sold twice" in invoke("race", "--port", mesh, lang="en").output


@pytest.mark.system
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
async def test_up_says_ready_and_ctrl_c_leaves_no_process(tmp_path):
    """`up` itself, with the stand-ins in place of the services."""
    code = (
        "import sys; from pathlib import Path; from chaos import topology\n"
        "topology.COMPOSE = Path(sys.argv.pop(1))\n"
        "from chaos.cli import main; main()\n"
    )
    arguments = ["up", "--port", str(free_base_port(3)), "--data", str(tmp_path / "data")]
    runner = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        str(compose(tmp_path)),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
    )
    lines = []
    while not lines or "listo en" not in lines[-1]:
        lines.append((await runner.stdout.readline()).decode())
    assert f"-> http://127.0.0.1:{arguments[2]}" in lines[-1]
    assert any("door |" in line for line in lines)
    record = json.loads((tmp_path / "data" / "stack.json").read_text())
    pids = [service["pid"] for service in record["services"].values()]
    runner.send_signal(signal.SIGINT)
    await runner.communicate()
    assert runner.returncode == 0
    assert not any(is_alive(pid) for pid in pids)


async def test_kill_and_ps_find_a_mesh_by_its_port_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = free_base_port(3)
    async with Stack(base_port=base, data=tmp_path / "data", files=(compose(tmp_path),)) as mesh:
        before = mesh.pids["room"]
        killed = await asyncio.to_thread(invoke, "kill", "room", "--port", str(base), "--json")
        assert json.loads(killed.output) == {"service": "room", "pid": before, "signal": "SIGKILL"}
        await until(lambda: mesh.restarts["room"] == 1, 10)
        await mesh.healthy("room")
        shown = await asyncio.to_thread(invoke, "ps", "--port", str(base), "--json")
        services = json.loads(shown.output)["services"]
        assert services["room"]["pid"] == mesh.pids["room"]
        assert {one["state"] for one in services.values()} == {"ready"}
        wrong = await asyncio.to_thread(invoke, "kill", "attic", "--port", str(base))
        assert wrong.exit_code == 2
