"""The page itself: loads alone, speaks two languages, survives reloads, keeps its budget; and the API documents."""

import asyncio
import gzip
import re
from importlib.resources import files

import httpx
import pytest
from playwright.async_api import expect

from chaos.stack import Stack
from tests.support import free_base_port

pytestmark = pytest.mark.asyncio(loop_scope="session")

BUDGET_BYTES = 60_000
"""Everything that `/` loads, gzipped file by file."""


async def test_page_loads_alone_and_without_complaint(watched):
    page = watched.page
    await page.goto(watched.home)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Compra tu entrada")
    await expect(page.locator("#stream")).to_have_text("En directo")
    await expect(page.locator("#events label")).to_have_count(3)
    await expect(page.locator("[data-scenario]")).to_have_count(6)
    await expect(page.locator("#graph .box")).to_have_count(6)
    await expect(page.locator("#edges tr")).to_have_count(6)
    await expect(page.locator("#map button").first).to_be_visible()
    watched.assert_well_behaved()


async def test_everything_that_the_page_loads_fits_its_budget(watched):
    """Judged by what the browser really asked for, so that a new file counts from its first day."""
    page = watched.page
    await page.goto(watched.home)
    await expect(page.locator("#edges tr")).to_have_count(6)
    web = files("gateway") / "web"
    names = {url.rpartition("/web/")[2] for url in watched.requests if "/web/" in url}
    assert {"style.css", "app.js", "lab.js", "texts.js"} <= names
    sizes = {name: len(gzip.compress((web / name).read_bytes())) for name in names | {"index.html"}}
    assert sum(sizes.values()) < BUDGET_BYTES, sizes


async def test_first_paint_seats_and_live_row_come_within_a_second(open_page):
    """The best of three loads into empty profiles: a bound on the page, not on the machine's other work."""
    best = {"first-contentful-paint": 1e9, "first-seats": 1e9, "first-row": 1e9}
    for _ in range(3):
        watched = await open_page()
        await watched.page.goto(watched.home)
        await expect(watched.page.locator("#edges tr")).to_have_count(6)
        await expect(watched.page.locator("#map button").first).to_be_visible()
        found = await watched.page.evaluate(
            "() => performance.getEntries().map((one) => [one.name, one.startTime])"
        )
        for name, at_ms in found:
            if name in best:
                best[name] = min(best[name], at_ms)
    assert all(at_ms < 1000 for at_ms in best.values()), best


async def test_language_is_switched_and_remembered(watched):
    page = watched.page
    await page.goto(watched.home)
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Buy your ticket")
    await expect(page.locator("[data-scenario=race] h3")).to_have_text("The race")
    await expect(page.locator("#edges th").first).to_have_text("gateway → inventory")
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Buy your ticket")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.goto(f"{watched.home}/?lang=es")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Compra tu entrada")
    await page.get_by_role("button", name="English").click()
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Buy your ticket")
    watched.assert_well_behaved()


@pytest.mark.parametrize(("locale", "lang"), [("en-GB", "en"), ("es-AR", "es"), ("fr-FR", "es")])
async def test_a_first_visit_follows_the_browser_and_else_is_spanish(open_page, locale, lang):
    watched = await open_page(locale=locale)
    await watched.page.goto(watched.home)
    await expect(watched.page.locator("html")).to_have_attribute("lang", lang)
    await expect(watched.page.locator("#language")).to_have_attribute(
        "lang", {"es": "en", "en": "es"}[lang]
    )


async def test_reloading_during_a_stream_full_of_news_starts_it_again(watched, api):
    page = watched.page
    await page.goto(watched.home)
    await expect(page.locator("#stream")).to_have_text("En directo")
    flood = asyncio.create_task(api.post("/api/lab/load", json={"requests": 60, "workers": 4}))
    for _ in range(4):
        await page.reload()
        await expect(page.locator("#stream")).to_have_text("En directo")
        await expect(page.locator("#edges tr")).to_have_count(6)
    assert (await flood).status_code == 200
    row = page.locator("#edges tr", has_text="gateway → reservas")
    await expect(row.locator("td.rate")).not_to_have_text("0")
    watched.assert_well_behaved()


async def test_docs_show_all_five_services_alone_and_without_complaint(watched):
    page = watched.page
    await page.goto(f"{watched.home}/docs")
    picker = page.get_by_label("Servicio")
    for name in ("gateway", "reservations", "inventory", "payments", "notifications"):
        await picker.select_option(name)
        await expect(page.locator("#swagger h1, #swagger h2").first).to_contain_text(name)
        await expect(page.locator(".opblock").first).to_be_visible()
    watched.assert_well_behaved()


async def test_try_it_out_reaches_a_service_through_the_gateway(watched):
    page = watched.page
    await page.goto(f"{watched.home}/docs?spec=inventory")
    block = page.locator(".opblock", has=page.get_by_text("/events", exact=True)).first
    await block.locator(".opblock-summary").click()
    await block.get_by_role("button", name="Execute").click()
    await expect(block.locator(".live-responses-table")).to_contain_text("concert-01")
    assert any("/svc/inventory/events" in url for url in watched.requests)


async def test_nothing_moves_for_who_asked_for_less_motion(open_page, api):
    still = await open_page(reduced_motion="reduce")
    moving = await open_page()
    for watched in (still, moving):
        await watched.page.goto(watched.home)
        await expect(watched.page.locator("#edges tr")).to_have_count(6)
    order = {"requests": 60, "workers": 4, "event_id": "festival-01"}
    flood = asyncio.create_task(api.post("/api/lab/load", json=order))
    await expect(moving.page.locator(".flows circle").first).to_be_attached()
    await expect(still.page.locator("#graph")).to_contain_text(re.compile(r"\d/s"))
    assert await still.page.locator(".flows *").count() == 0
    assert (await flood).status_code == 200


async def test_without_the_lab_the_page_is_a_shop(open_page, tmp_path):
    """Nothing of the lab is shown, loaded or asked for."""
    secret = {"ID_SECRET": "a-secret-for-this-test-alone-0123456789"}
    base = free_base_port()
    async with Stack(base_port=base, data=tmp_path, shop=True, environment=secret) as shop:
        watched = await open_page()
        page = watched.page
        await page.goto(shop.url("gateway"))
        await expect(page.locator("#stream")).to_have_text("En directo")
        await page.get_by_label("Tu nombre").fill("Ana")
        await page.get_by_role("button", name="Reservar").click()
        await expect(page.locator("#answer")).to_contain_text("Reserva confirmada.")
        await expect(page.locator("[data-lab-only]")).to_have_count(0)
        await expect(page.get_by_text("Rómpelo")).to_have_count(0)
        watched.assert_well_behaved()
        await page.context.close()
    assert not [url for url in watched.requests if "lab" in url or "/svc/" in url]


@pytest.mark.parametrize("path", ["/", "/docs", "/r/r1"])
async def test_pages_forbid_foreign_content(watched, path):
    async with httpx.AsyncClient() as http:
        response = await http.get(watched.home + path)
    assert response.headers["content-security-policy"].startswith("default-src 'self';")


async def test_a_lab_behind_its_token_asks_for_it_and_keeps_it_for_this_tab_alone(
    open_page, tmp_path
):
    token = "contrasena-de-la-clase"
    base = free_base_port()
    async with Stack(base_port=base, data=tmp_path, environment={"CHAOS_TOKEN": token}) as lab:
        watched = await open_page()
        watched.expected.add(401)
        page, field = watched.page, watched.page.get_by_label("Contraseña del laboratorio")
        await page.goto(lab.url("gateway"))
        await expect(page.locator("#lab-note")).to_contain_text("CHAOS_TOKEN")
        await expect(page.locator("[data-scenario]")).to_have_count(0)
        await field.fill(token)
        await field.press("Enter")
        await expect(page.locator("[data-scenario]")).to_have_count(6)
        await expect(page.locator("#lab-note")).to_be_hidden()
        await page.reload()
        await expect(page.locator("[data-scenario]")).to_have_count(6)
        await page.locator("#audit-go").click()
        await expect(page.locator("#audit-list li").first).to_be_visible(timeout=30_000)
        watched.assert_well_behaved()
        assert not [url for url in watched.requests if token in url]
        assert await page.evaluate("localStorage.getItem('lab-token')") is None
        await page.context.close()
