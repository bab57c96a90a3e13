"""Bytes that no browser sends, and that once crashed the gateway: found by fuzzing."""

import httpx
import pytest

from tests.unit.gateway.conftest import bench, confirmed, says

NOT_ASCII = {"x-manage-token": "é".encode("latin-1")}


async def test_a_token_that_is_not_ascii_is_nobodys():
    """It used to be a 500: httpx takes no such text for a header."""
    async with bench(confirmed()) as desk:
        answer = await desk.http.post("/api/reservations/r1/cancel", headers=NOT_ASCII)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
        assert desk.reservations.requests == []


async def test_a_header_that_is_not_ascii_is_not_relayed():
    there = []

    def inventory(request):
        there.append(request)
        return says(200, {})

    async with bench(confirmed(), lab=True, inventory=httpx.MockTransport(inventory)) as desk:
        answer = await desk.http.get("/svc/inventory/events", headers={"accept": b"text/\xe9"})
        assert answer.status_code == 200
        assert "accept" not in there[0].headers


@pytest.mark.parametrize("path", ["%00", "a%3Fb", "x%0DEvil:%201", "%FF%FE", "a%2Fb", ""])
async def test_a_relayed_path_goes_on_as_it_was_sent(path):
    """A %00 used to be a 500, and a %3F the begin of a query."""
    there = []

    def inventory(request):
        there.append(request)
        return says(200, {})

    async with bench(confirmed(), lab=True, inventory=httpx.MockTransport(inventory)) as desk:
        request = desk.http.build_request("GET", f"/svc/inventory/{path}?q=%20")
        assert request.url.raw_path == f"/svc/inventory/{path}?q=%20".encode()
        answer = await desk.http.send(request)
        assert (answer.status_code, there[0].url.raw_path) == (200, f"/{path}?q=%20".encode())
