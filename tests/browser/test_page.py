"""The product's face: what a person sees and does, on a real mesh, with no request leaving this machine."""

import re

import httpx
import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def order(page, name: str = "Ana López") -> None:
    await page.get_by_label("Tu nombre").fill(name)
    await page.get_by_role("button", name="Reservar").click()


async def test_page_loads_alone_and_without_complaint(watched):
    page = watched.page
    await page.goto(watched.home)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Compra tu entrada")
    await expect(page.locator("#stream")).to_have_text("En directo")
    await expect(page.locator("#events label")).to_have_count(3)
    await expect(page.locator("[data-scenario]")).to_have_count(6)
    await expect(page.locator("#mesh tr")).to_have_count(5)
    await expect(page.locator("#map button").first).to_be_visible()
    assert watched.foreign() == []
    assert watched.complaints == []


async def test_docs_show_all_five_services_alone_and_without_complaint(watched):
    page = watched.page
    await page.goto(f"{watched.home}/docs")
    picker = page.get_by_label("Servicio")
    for name in ("gateway", "reservations", "inventory", "payments", "notifications"):
        await picker.select_option(name)
        await expect(page.locator("#swagger h1, #swagger h2").first).to_contain_text(name)
        await expect(page.locator(".opblock").first).to_be_visible()
    assert watched.foreign() == []
    assert watched.complaints == []


async def test_try_it_out_reaches_a_service_through_the_gateway(watched):
    page = watched.page
    await page.goto(f"{watched.home}/docs?spec=inventory")
    block = page.locator(".opblock", has=page.get_by_text("/events", exact=True)).first
    await block.locator(".opblock-summary").click()
    await block.get_by_role("button", name="Execute").click()
    await expect(block.locator(".live-responses-table")).to_contain_text("concert-01")
    assert any("/svc/inventory/events" in url for url in watched.requests)


async def test_reserving_and_cancelling_through_the_page(watched):
    page = watched.page
    await page.goto(watched.home)
    seat = page.get_by_role("button", name="Asiento D-04, libre")
    await seat.click()
    await expect(page.locator("#total")).to_contain_text("D-04")
    await order(page)
    answer = page.locator("#answer")
    await expect(answer).to_contain_text("Reserva confirmada.")
    await expect(answer).to_contain_text("D-04")
    await expect(answer).to_contain_text("Es tuyo.")
    await expect(page.get_by_role("button", name="Asiento D-04, vendido")).to_be_visible()
    mine = page.locator("#reservations li")
    await expect(mine).to_contain_text("confirmada")

    await page.reload()
    await expect(mine).to_contain_text("confirmada")
    await mine.get_by_role("button", name="Cancelar").click()
    await mine.get_by_role("button", name="Sí, cancelar").click()
    await expect(mine).to_contain_text("devuelta")
    await expect(page.get_by_role("button", name="Asiento D-04, libre")).to_be_visible()
    assert watched.foreign() == []
    assert watched.complaints == []


async def test_reservation_has_a_page_with_its_steps(watched):
    page = watched.page
    await page.goto(watched.home)
    await expect(page.locator("#events label").first).to_be_visible()
    await order(page, "Luis")
    await page.locator("#answer").get_by_role("link", name="Ver paso a paso").click()
    await expect(page).to_have_url(re.compile(r"/r/r[0-9a-f]{32}$"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Reserva confirmada.")
    steps = page.locator("#timeline li")
    await expect(steps.first).to_contain_text("Solicitud aceptada")
    await expect(page.locator("#timeline")).to_contain_text("Autorizar el pago")
    assert watched.foreign() == []
    assert watched.complaints == []


async def test_language_is_switched_and_remembered(watched):
    page = watched.page
    await page.goto(watched.home)
    await page.get_by_role("button", name="English").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Buy your ticket")
    await page.reload()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Buy your ticket")
    await expect(page.locator("html")).to_have_attribute("lang", "en")


async def test_seats_are_chosen_by_keyboard_alone(watched):
    page = watched.page
    await page.goto(watched.home)
    await page.get_by_role("button", name="Asiento E-01, libre").focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Space")
    await expect(page.get_by_role("button", name="Asiento F-02, elegido")).to_be_focused()
    await expect(page.locator("#total")).to_contain_text("F-02")


async def test_switching_a_fault_shows_in_the_answer_the_mesh_and_the_log(watched):
    page = watched.page
    await page.goto(watched.home)
    switch = page.get_by_role("switch", name="El Inventario Fantasma")
    await switch.click()
    await expect(switch).to_be_checked()
    await expect(switch).to_contain_text(re.compile(r"quedan \d+ s"))
    await expect(page.locator("#mesh tr", has_text="inventario")).to_contain_text("responde mal")
    await order(page)
    await expect(page.locator("#answer")).to_contain_text(
        "El servicio de inventario está inactivo."
    )
    await expect(page.locator("#answer")).to_contain_text("No se cobró nada.")
    await expect(page.locator("#log")).to_contain_text("Fallo encendido: inventario · crash.")

    await page.get_by_role("button", name="Detener todo").click()
    await expect(switch).not_to_be_checked()
    await expect(page.locator("#mesh tr", has_text="inventario")).to_contain_text("vivo")
    assert watched.foreign() == []


async def test_flood_and_race_show_their_counts(watched):
    page = watched.page
    await page.goto(watched.home)
    flood = page.locator("[data-scenario=load]")
    await flood.get_by_role("button").click()
    await expect(flood).to_contain_text("429 gateway_saturated")
    await expect(flood).to_contain_text("Todas las respuestas cumplen lo prometido.")
    race = page.locator("[data-scenario=race]")
    await race.get_by_role("button").click()
    await expect(race).to_contain_text("1 × 200 confirmed", timeout=60_000)
    await expect(race).to_contain_text("7 × 409 sold_out")


@pytest.mark.parametrize("path", ["/", "/docs", "/r/r1"])
async def test_pages_forbid_foreign_content(watched, path):
    async with httpx.AsyncClient() as http:
        response = await http.get(watched.home + path)
    assert response.headers["content-security-policy"].startswith("default-src 'self';")
