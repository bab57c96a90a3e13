"""Real mail: five real processes and a real SMTP server (aiosmtpd), one mesh for the module.

Between a buyer and a mail everything may fail; what must hold: nothing is lost, and no more than one duplicate is made
per crash, which is counted.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
import pytest_asyncio

from chaos.stack import Stack
from tests.support import free_base_port, until
from tests.support.invariants import books
from tests.support.mail import MailServer

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).resolve().parents[2]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def post(tmp_path_factory):
    """A mesh whose mail goes to `post.server`; leases are short, so that a crash is got over in seconds."""
    server = MailServer()
    async with server.listening():
        environment = {"SMTP_URL": server.url, "MAIL_LEASE_S": "3"}
        data = tmp_path_factory.mktemp("mail")
        async with (
            Stack(base_port=free_base_port(), data=data, environment=environment) as stack,
            httpx.AsyncClient(timeout=10) as http,
        ):
            yield SimpleNamespace(server=server, stack=stack, http=http)


@pytest.fixture(autouse=True)
def obedient(post):
    """Each test begins with a server that takes everything."""
    yield
    post.server.on_recipient = lambda _address: None
    post.server.on_taken = None


async def buy(post, to, **body):
    wanted = {"user_id": "ana", "event_id": "concert-01", "quantity": 1, "email": to, **body}
    answer = await post.http.post(post.stack.url("gateway", "/api/reserve"), json=wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def message(post, reservation_id, template="confirmed"):
    url = post.stack.url("notifications", "/messages")
    params = {"notification_id": f"{reservation_id}.{template}"}
    (found,) = (await post.http.get(url, params=params)).json()["messages"]
    return found


async def view(post, reservation_id):
    url = post.stack.url("gateway", f"/api/reservations/{reservation_id}")
    return (await post.http.get(url)).json()


def delivered(post, reservation_id, template="confirmed"):
    async def is_delivered():
        try:
            return (await message(post, reservation_id, template))["state"] == "delivered"
        except httpx.TransportError:  # the process is on its way back
            return False

    return is_delivered


def told_sent(post, reservation_id):
    async def is_told():
        return (await view(post, reservation_id))["notification"]["sent"]

    return is_told


async def cli(post, *arguments):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "chaos",
        *arguments,
        cwd=ROOT,
        env={**os.environ, "BASE_PORT": str(post.stack.base_port), "TAQUILLA_LANG": "en"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


def books_balance(post):
    return until(lambda: books(post.stack.data).violations == [], 20)


async def test_a_buyer_gets_a_real_mail_in_the_same_moment(post):
    bought = await buy(post, "ana@example.com")
    assert bought["notification"] == {"sent": True, "detail": None}
    (mail,) = post.server.about(bought["reservation_id"])
    assert mail.recipients == ["ana@example.com"]
    text = mail.message.get_content()
    for fact in (bought["seats"][0], "50.00 USD", f"/r/{bought['reservation_id']}"):
        assert fact in text
    await books_balance(post)


async def test_a_cancellation_is_mailed_after_the_confirmation_and_once(post):
    bought = await buy(post, "eva@example.com")
    url = post.stack.url("gateway", f"/api/reservations/{bought['reservation_id']}/cancel")
    headers = {"x-manage-token": bought["manage_token"]}
    answers = [(await post.http.post(url, headers=headers)).status_code for _ in range(3)]
    assert set(answers) <= {200, 202}
    await until(lambda: len(post.server.about(bought["reservation_id"])) == 2, 20)
    subjects = [mail.message["Subject"] for mail in post.server.about(bought["reservation_id"])]
    assert ["confirmada" in subjects[0], "cancelada" in subjects[1]] == [True, True]
    await books_balance(post)
    assert len(post.server.about(bought["reservation_id"])) == 2


async def test_451_is_tried_again_and_delivered_once(post):
    refusals = iter(["451 try later"] * 2)
    post.server.on_recipient = lambda _address: next(refusals, None)
    bought = await buy(post, "ana@example.com")
    assert bought["notification"]["sent"] is False
    await until(delivered(post, bought["reservation_id"]), 30)
    found = await message(post, bought["reservation_id"])
    assert (found["attempts"], found["redelivered"]) == (3, 0)
    assert len(post.server.about(bought["reservation_id"])) == 1
    await until(told_sent(post, bought["reservation_id"]), 20)
    await books_balance(post)


async def test_a_mail_server_that_is_down_delays_mail_and_loses_none(post):
    await post.server.stop()
    bought = [await buy(post, f"buyer{n}@example.com") for n in range(4)]
    assert {one["notification"]["sent"] for one in bought} == {False}
    assert "se reintentará" in bought[0]["notification"]["detail"]
    assert (await message(post, bought[0]["reservation_id"]))["state"] == "accepted"
    await post.server.start()
    for one in bought:
        await until(delivered(post, one["reservation_id"]), 40)
        assert len(post.server.about(one["reservation_id"])) == 1
        assert (await message(post, one["reservation_id"]))["redelivered"] == 0
        await until(told_sent(post, one["reservation_id"]), 20)
    await books_balance(post)


async def test_killed_between_the_servers_yes_and_our_record_makes_one_counted_duplicate(post):
    """kill -9 in the only moment when a duplicate cannot be avoided."""
    kills = iter([post.stack.kill])

    async def kill_the_sender(_mail):
        for kill in kills:
            await kill("notifications")

    post.server.on_taken = kill_the_sender
    bought = await buy(post, "leo@example.com")
    assert bought["notification"]["sent"] is False
    await until(delivered(post, bought["reservation_id"]), 30)
    found = await message(post, bought["reservation_id"])
    assert (found["attempts"], found["redelivered"]) == (2, 1)
    copies = post.server.about(bought["reservation_id"])
    assert len(copies) == 2
    assert len({mail.message["Message-ID"] for mail in copies}) == 1, "a client may drop the copy"
    await until(told_sent(post, bought["reservation_id"]), 20)
    code, output, _ = await cli(post, "audit", "--data", str(post.stack.data), "--json")
    assert code == 0, output
    assert json.loads(output)["second_mails"] == [f"{bought['reservation_id']}.confirmed"]


async def test_killed_before_the_server_heard_of_it_makes_no_duplicate(post):
    kills = iter([post.stack.kill])

    def kill_the_sender(_address):
        for _ in kills:
            os.kill(post.stack.pids["notifications"], 9)

    post.server.on_recipient = kill_the_sender
    bought = await buy(post, "mia@example.com")
    await until(delivered(post, bought["reservation_id"]), 30)
    assert (await message(post, bought["reservation_id"]))["redelivered"] == 1, "nobody could know"
    assert len(post.server.about(bought["reservation_id"])) == 1
    await books_balance(post)


async def test_a_dead_letter_is_seen_corrected_and_then_truly_sent(post):
    post.server.on_recipient = lambda address: (
        "550 no such user" if address == "typo@example.com" else None
    )
    bought = await buy(post, "typo@example.com")
    ref = f"{bought['reservation_id']}.confirmed"
    assert bought["notification"]["sent"] is False

    async def is_dead():
        return (await message(post, bought["reservation_id"]))["state"] == "dead"

    await until(is_dead, 10)

    async def says_refused():
        detail = (await view(post, bought["reservation_id"]))["notification"]["detail"]
        return "rechazada" in (detail or "")

    await until(says_refused, 15)
    code, output, _ = await cli(post, "mail", "--dead", "--json")
    assert code == 0
    (dead,) = json.loads(output)["messages"]
    assert (dead["notification_id"], dead["to"]) == (ref, "typo@example.com")
    assert "550" in dead["error"]
    code, output, _ = await cli(post, "mail", "list", "--dead")
    assert (code, ref in output, "DEAD" in output, "550" in output) == (0, True, True, True)
    code, output, _ = await cli(post, "mail", "resend", ref)
    assert (code, "DEAD" in output) == (1, True)
    code, output, _ = await cli(post, "mail", "resend", ref, "--to", "ana@example.org", "--json")
    assert code == 0, output
    done = json.loads(output)
    assert (done["resent"], done["message"]["state"]) == (True, "delivered")
    code, output, _ = await cli(post, "mail", "resend", ref)
    assert (code, "left alone" in output) == (0, True)
    (mail,) = post.server.about(bought["reservation_id"])
    assert mail.recipients == ["ana@example.org"]
    await until(told_sent(post, bought["reservation_id"]), 15)
    await books_balance(post)


async def test_the_command_tells_a_wrong_id_from_a_dead_mesh(post):
    code, _, errors = await cli(post, "mail", "resend", "nobody.confirmed")
    assert (code, "no such message" in errors) == (2, True)
    code, _, errors = await cli(post, "mail", "--port", str(free_base_port()))
    assert (code, "does not answer" in errors) == (3, True)
