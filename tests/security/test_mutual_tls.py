"""Mutual TLS over five real processes: who has no certificate of ours, or somebody else's, does not get in."""

import asyncio
import json
import os
import ssl
import sys
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import trustme

from chaos.ports import Tls, answers_ok
from chaos.stack import Stack
from chassis import runtime
from chassis.credentials import lab_token
from chassis.mutual import Certificates, names_of
from tests.support import free_base_port, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICES = ("gateway", "reservations", "inventory", "payments", "notifications")
LAB_KEY = "a-key-for-these-tests"
PAY = {"payment_ref": "r1.1", "amount_minor": 5000, "currency": "USD"}


def issue(folder: Path, authority: trustme.CA, names=SERVICES) -> Path:
    """The folder of an authority's certificates, as TLS_DIR wants it."""
    folder.mkdir(exist_ok=True)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    for name in names:
        made = authority.issue_cert(name)
        made.private_key_pem.write_to_path(str(folder / f"{name}.key"))
        for number, pem in enumerate(made.cert_chain_pems):
            pem.write_to_path(str(folder / f"{name}.pem"), append=number > 0)
    return folder


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def mesh(tmp_path_factory, authority):
    folder = issue(tmp_path_factory.mktemp("tls"), authority)
    async with Stack(
        base_port=free_base_port(),
        data=tmp_path_factory.mktemp("mesh"),
        environment={"TLS_DIR": str(folder), "LAB_KEY": LAB_KEY, "SERVICE_AUTH": "required"},
    ) as stack:
        yield stack, folder


async def pay(stack, verify, *, token: str) -> httpx.Response:
    """Pay at payments' own door, by whatever certificate `verify` shows."""
    url = stack.url("payments", "/pay").replace("http://", "https://")
    headers = {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(verify=verify, timeout=10) as http:
        return await http.post(
            url, json=PAY, headers=headers, extensions={"sni_hostname": "payments"}
        )


def shows(folder: Path, name: str) -> ssl.SSLContext:
    return Certificates(folder, name).for_calls()


RIGHT = lab_token(LAB_KEY, "reservations", "payments")


async def test_a_reservation_passes_over_five_processes_with_certificates(mesh):
    stack, folder = mesh
    body = {"user_id": "ana", "event_id": "concert-01", "quantity": 1, "email": "ana@example.com"}
    async with httpx.AsyncClient(timeout=15) as http:
        sold = await http.post(stack.url("gateway", "/api/reserve"), json=body)
        assert (sold.status_code, sold.json()["status"]) == (200, "confirmed"), sold.text
        url = stack.url("gateway", sold.headers["location"])

        async def settled():
            steps = {one["step"] for one in (await http.get(url)).json()["timeline"]}
            return {"capture", "notify"} <= steps

        await until(settled, 30)
    # The runner asks them how they are by their own certificates.
    for service in SERVICES[1:]:
        port = int(stack.url(service, "").rpartition(":")[2])
        assert await answers_ok(port, "/readyz", tls=Tls(folder, service))
        assert not await answers_ok(port, "/healthz")


async def ran(*arguments: str, **environment: str) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", *arguments),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said


async def test_a_healthcheck_asks_by_the_services_certificate_and_ps_sees_all_five(mesh):
    stack, folder = mesh
    probe = ("chassis.probe", "payments", stack.url("payments", "/healthz"))
    assert (await ran(*probe, TLS_DIR=str(folder)))[0] == 0
    assert (await ran(*probe, TLS_DIR=""))[0] == 1
    code, said = await ran("chaos", "ps", "--data", str(stack.data), "--json")
    states = {name: one["state"] for name, one in json.loads(said)["services"].items()}
    assert (code, states) == (0, dict.fromkeys(SERVICES, "ready"))


async def test_the_right_certificate_with_its_own_token_gets_in(mesh):
    stack, folder = mesh
    answer = await pay(stack, shows(folder, "reservations"), token=RIGHT)
    assert answer.status_code == 200, answer.text


async def test_who_shows_no_certificate_does_not_get_in(mesh):
    stack, folder = mesh
    nothing = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    with pytest.raises(httpx.TransportError):
        await pay(stack, nothing, token=RIGHT)


async def test_a_certificate_of_another_authority_does_not_get_in(mesh, tmp_path):
    stack, folder = mesh
    forged = issue(tmp_path / "forged", trustme.CA())
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(*Certificates(forged, "reservations").own)
    with pytest.raises(httpx.TransportError):
        await pay(stack, context, token=RIGHT)


async def test_plain_http_does_not_get_in(mesh):
    stack, _ = mesh
    async with httpx.AsyncClient(timeout=10) as http:
        with pytest.raises(httpx.TransportError):
            await http.get(stack.url("payments", "/healthz"))


@pytest.mark.parametrize("thief", ["notifications", "inventory", "gateway"])
async def test_a_stolen_token_is_of_no_use_with_another_certificate(mesh, thief):
    stack, folder = mesh
    answer = await pay(stack, shows(folder, thief), token=RIGHT)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("wire", ["own", "httpx"])
async def test_our_callers_take_no_other_certificate_for_the_one_they_call(mesh, wire):
    """Whoever sits at an address of payments with inventory's certificate is not payments."""
    stack, folder = mesh
    effects = runtime.real(wire, Certificates(folder, "reservations"))
    url = stack.url("payments", "/healthz").replace("http://", "https://")
    for upstream, gets_through in (("payments", True), ("inventory", False)):
        transport = effects.http(upstream)
        try:
            request = httpx.Request("GET", url, extensions={"timeout": {"connect": 5, "read": 5}})
            if gets_through:
                assert (await transport.handle_async_request(request)).status_code == 200
            else:
                with pytest.raises(httpx.ConnectError):
                    await transport.handle_async_request(request)
        finally:
            await transport.aclose()


async def test_names_are_those_of_services_only():
    certificate = {"subjectAltName": (("DNS", "inventory"), ("IP Address", "127.0.0.1"))}
    assert names_of(certificate) == {"inventory"}
    assert names_of({}) == frozenset()
