"""Who a request is from, how often they may come, and how much one user may have under way."""

import asyncio
from ipaddress import ip_network

import httpx
import pytest
from pydantic import ValidationError

from chassis.addresses import client_of, forwarded_for
from gateway.settings import Settings
from tests.unit.gateway.conftest import bench, confirmed

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # says so itself
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        (
            "10.0.0.1",
            ["1.1.1.1", "198.51.100.1"],
            "198.51.100.1",
        ),  # 1.1.1.1 is the client's own claim
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3", "10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1", "rubbish"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:1:2:3:4:5:6", [], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("fd00::1", ["2001:db8:1:2::9"], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("", [], ""),
        ("testclient", ["1.1.1.1"], "testclient"),
    ],
)
def test_the_client_is_the_nearest_address_for_which_no_proxy_of_ours_speaks(
    peer, forwarded, client
):
    assert client_of(peer, forwarded, PROXIES) == client


def test_without_trusted_proxies_what_is_forwarded_means_nothing():
    assert client_of("10.0.0.1", ["198.51.100.1"], ()) == "10.0.0.1"


def test_several_fields_are_one_list_and_of_a_long_one_the_end_counts():
    headers = [
        (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2"),
        (b"x-forwarded-for", b"3.3.3.3"),
        (b"forwarded", b"for=9.9.9.9"),
    ]
    assert forwarded_for(headers) == ["1.1.1.1", "2.2.2.2", "3.3.3.3"]
    long = b",".join(b"1.1.1.%d" % (n % 250) for n in range(3000))
    assert forwarded_for([(b"x-forwarded-for", long)]) == [f"1.1.1.{n}" for n in range(242, 250)]


def test_a_proxy_that_is_no_network_is_refused_at_the_start():
    with pytest.raises(ValidationError, match="trusted_proxies"):
        Settings(chaos_enabled=True, trusted_proxies="10.0.0.0/8, nginx")


async def statuses(trusted, senders):
    settings = {"gateway_rate_per_s": 0.01, "gateway_rate_burst": 2, "trusted_proxies": trusted}
    async with bench(*[confirmed()] * len(senders), settings=settings) as far:
        answers = [await far.reserve({"x-forwarded-for": sender}) for sender in senders]
    for answer in answers:
        if answer.status_code == 429:
            assert answer.json()["code"] == "rate_limited"
            assert int(answer.headers["retry-after"]) > 1
    return [answer.status_code for answer in answers]


async def test_a_forged_sender_buys_no_further_tokens():
    assert await statuses("", [f"198.51.100.{n}" for n in range(4)]) == [200, 200, 429, 429]


async def test_behind_a_trusted_proxy_each_client_has_tokens_of_its_own():
    senders = ["198.51.100.1", "198.51.100.1", "198.51.100.1", "198.51.100.2"]
    assert await statuses("127.0.0.1", senders) == [200, 200, 429, 200]


class Patient(httpx.AsyncBaseTransport):
    """Reservations that answers when it may."""

    def __init__(self):
        self.may_answer = asyncio.Event()
        self.inside = 0

    async def handle_async_request(self, request):
        self.inside += 1
        await self.may_answer.wait()
        return confirmed()


async def test_one_user_has_so_many_reservations_under_way_and_others_are_free():
    slow = Patient()
    settings = {"gateway_user_max_inflight": 2, "gateway_max_inflight": 50}
    async with bench(settings=settings, reservations=slow) as far:
        tasks = [asyncio.create_task(far.reserve(user_id="ana")) for _ in range(2)]
        await asyncio.sleep(0.1)
        third = await far.reserve(user_id="ana", headers={"accept-language": "en"})
        assert (third.status_code, third.json()["code"]) == (429, "user_busy")
        assert "2 reservations of this user" in third.json()["detail"]
        assert int(third.headers["retry-after"]) >= 1
        tasks.append(asyncio.create_task(far.reserve(user_id="luis")))
        await asyncio.sleep(0.1)
        assert slow.inside == 3
        slow.may_answer.set()
        assert [answer.status_code for answer in await asyncio.gather(*tasks)] == [200] * 3
        assert (await far.reserve(user_id="ana")).status_code == 200
        assert far.door._state["svc"].under_way == {}, "nothing is kept of who has none"


async def test_a_user_is_free_again_after_a_failure():
    settings = {"gateway_user_max_inflight": 1}
    async with bench(*[httpx.ConnectError("refused")] * 8, settings=settings) as far:
        answers = [await far.reserve(user_id="ana") for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503] * 3
        assert far.door._state["svc"].under_way == {}
