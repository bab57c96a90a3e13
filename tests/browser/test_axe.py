"""Accessibility: axe-core finds nothing on either page, in both languages, light and dark, wide and narrow."""

import itertools

import httpx
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

LOOKS = list(itertools.product(("light", "dark"), (360, 1280)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def undone(stack, browser):
    """Id of a reservation whose payment was too slow: its page has every kind of step."""
    async with httpx.AsyncClient(base_url=stack.url("gateway"), timeout=20) as http:
        slow = {"seconds": 20, "ttl_s": 60}
        (await http.post("/api/lab/faults/payments/latency", json=slow)).raise_for_status()
        refused = await http.post("/api/reserve", json={"user_id": "eva", "event_id": "concert-02"})
        (await http.delete("/api/lab/faults")).raise_for_status()
    assert refused.status_code == 504
    return refused.json()["reservation_id"]


async def violations(page) -> list[str]:
    results = await Axe().run(page)
    return [
        f"{one['id']}: {node['html']}"
        for one in results.response["violations"]
        for node in one["nodes"]
    ]


async def assert_accessible_in_both_languages(page) -> None:
    await expect(page.locator("html")).to_have_attribute("lang", "es")
    assert await violations(page) == []
    await page.locator("#language").click()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    assert await violations(page) == []


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
async def test_the_page_has_no_violation(open_page, api, scheme, width):
    """With an answer, a reservation, an audit, a fault that is on and every explanation open: all is judged."""
    watched = await open_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = watched.page
    await page.goto(watched.home)
    await expect(page.locator("#edges tr")).to_have_count(6)
    await expect(page.locator("[data-scenario]")).to_have_count(6)
    await page.locator("#audit-go").click()
    await page.locator("#name").fill("Eva")
    await page.locator("#reserve").click()
    await expect(page.locator("#answer h2")).to_be_visible()
    for summary in await page.locator("summary").all():
        await summary.click()
    await page.locator("[data-scenario=load] form button").click()
    await expect(page.locator("[data-scenario=load] .crowd")).to_be_visible()
    await expect(page.locator("#audit-list > li").first).to_be_visible()
    card = page.locator("[data-scenario=notifications-down]")
    await card.get_by_role("switch").click()
    await expect(page.locator("#graph .box.failing")).to_be_attached()
    await card.locator(".quiet").click()
    await expect(card.locator(".tries li.good")).to_be_visible()
    await assert_accessible_in_both_languages(page)


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
async def test_the_page_of_a_reservation_has_no_violation(open_page, undone, scheme, width):
    watched = await open_page(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = watched.page
    await page.goto(f"{watched.home}/r/{undone}")
    await expect(page.locator(".timeline li.compensation").first).to_be_visible()
    await assert_accessible_in_both_languages(page)
