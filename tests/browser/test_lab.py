"""The lab: each scenario is switched on, shows in words and pictures, is felt by a buyer, and ends."""

import re

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

FAULTS = {
    "crash-inventory": (503, r"503 inventory_unavailable · .* No se cobró nada\."),
    "slow-payments": (504, r"504 payment_timeout · 3.* s No se cobrará nada"),
    "db-flap": (503, r"200 confirmed|202 pending|503 storage_unavailable"),
    "notifications-down": (503, r"200 confirmed · .*el correo saldrá después"),
}
"""By scenario: the status that the console may mention, and what a test purchase hears."""


@pytest.fixture(autouse=True)
def _off_afterwards(api):
    """No test leaves a fault on for the next."""


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_is_switched_on_felt_and_switched_off(watched, name):
    status, heard = FAULTS[name]
    watched.expected.add(status)
    page = watched.page
    await page.goto(watched.home)
    card = page.locator(f"[data-scenario={name}]")
    switch = card.get_by_role("switch")
    await expect(card.locator(".state-word")).to_have_text("Apagado")
    await switch.click()
    await expect(switch).to_be_checked()
    await expect(card.locator(".state-word")).to_have_text(re.compile(r"Encendido · quedan \d+ s"))
    await expect(card.locator("details")).to_contain_text("Por qué resiste")
    await expect(page.locator("#graph .fault", has_text="⚡")).to_have_count(1)
    await expect(page.locator("#log")).to_contain_text("Fallo encendido")

    await card.get_by_role("button", name="Comprar una de prueba").click()
    await expect(card.locator(".tries li").first).to_contain_text(re.compile(heard))
    await page.get_by_role("button", name="Detener todo").click()
    await expect(switch).not_to_be_checked()
    await expect(card.locator(".state-word")).to_have_text("Apagado")
    await expect(page.locator("#log")).to_contain_text("Fallo apagado")
    watched.assert_well_behaved()


async def test_the_breaker_opens_before_ones_eyes_and_closes_again(watched):
    watched.expected |= {429, 503}
    page = watched.page
    await page.goto(watched.home)
    card = page.locator("[data-scenario=crash-inventory]")
    row = page.locator("#edges tr", has_text="reservas → inventario")
    await expect(row.locator(".phase")).to_contain_text("cerrado")
    await card.get_by_role("switch").click()
    await expect(page.locator("#graph .box.failing")).to_contain_text("responde mal")
    for count in range(1, 5):
        await card.get_by_role("button", name="Comprar una de prueba").click()
        await expect(card.locator(".tries li:not(.wait)")).to_have_count(count)
    await expect(row.locator(".phase")).to_contain_text(re.compile("abierto|a prueba"))
    await expect(page.locator("#graph .edge.open, #graph .edge.half_open").first).to_be_attached()
    await expect(page.locator("#log")).to_contain_text(
        "Cortacircuitos de inventario abierto: reservas deja de llamarlo tras varios fallos seguidos"
    )
    await expect(row.locator(".effective")).not_to_have_text("100 %")

    await page.get_by_role("button", name="Detener todo").click()
    tries = card.locator(".tries li.good")
    button = card.get_by_role("button", name="Comprar una de prueba")
    for _ in range(20):  # buyers are the probes: the breaker closes when calls go well again
        await button.click()
        await expect(card.locator(".tries li.wait")).to_have_count(0)
        if await tries.count() >= 2:
            break
    await expect(row.locator(".phase")).to_contain_text("cerrado")
    await expect(page.locator("#log")).to_contain_text("Cortacircuitos de inventario cerrado")
    watched.assert_well_behaved()


@pytest.mark.parametrize(
    ("name", "heard"),
    [
        ("load", ["200 confirmed", "429 gateway_saturated", "Todas las respuestas cumplen"]),
        ("race", ["1 × 200 confirmed", "7 × 409 sold_out", "Ganaron exactamente tantos"]),
    ],
)
async def test_flood_and_race_run_from_the_page_and_draw_every_buyer(watched, name, heard):
    page = watched.page
    await page.goto(watched.home)
    card = page.locator(f"[data-scenario={name}]")
    await expect(card.locator(".state-word")).to_have_text("Sin lanzar")
    await card.locator("form button").click()
    await expect(card.locator(".state-word")).to_have_text("Terminado: se cumplió", timeout=60_000)
    for text in heard:
        await expect(card).to_contain_text(text)
    buyers = 50 if name == "load" else 8
    await expect(card.locator(".crowd .mark")).to_have_count(buyers)
    watched.assert_well_behaved()


async def test_race_and_flood_take_bounded_numbers_only(watched):
    page = watched.page
    await page.goto(watched.home)
    for name, field, too_many in (("load", "requests", "201"), ("race", "buyers", "65")):
        card = page.locator(f"[data-scenario={name}]")
        await card.locator(f"[name={field}]").fill(too_many)
        await card.locator("form button").click()
        assert await card.locator(f"[name={field}]:invalid").count() == 1
        await expect(card.locator(".state-word")).to_have_text("Sin lanzar")
    assert not [url for url in watched.requests if url.endswith(("/api/lab/load", "/api/lab/race"))]


async def test_the_audit_is_a_check_list_with_a_verdict(watched, api):
    page = watched.page
    await page.goto(watched.home)
    bought = await api.post("/api/reserve", json={"user_id": "ana", "event_id": "festival-01"})
    assert bought.status_code == 200
    await page.get_by_role("button", name="Auditar ahora").click()
    await expect(page.locator("#audit-verdict")).to_contain_text(
        "No se perdió nada", timeout=60_000
    )
    promises = page.locator("#audit-list > li")
    await expect(promises.first).to_be_visible()
    assert await promises.count() >= 15
    assert await page.locator("#audit-list > li.bad").count() == 0
    watched.assert_well_behaved()


async def test_seats_are_refilled_from_the_page(watched):
    page = watched.page
    await page.goto(watched.home)
    await page.locator("#refill-event").select_option("concert-02")
    await page.locator("#refill-seats").fill("70")
    await page.get_by_role("button", name="Reponer").click()
    await expect(page.locator("#log")).to_contain_text("concert-02: 70 asientos libres.")
    await expect(page.locator("#events label", has_text="Sinfonía")).to_contain_text("quedan 70")
    watched.assert_well_behaved()
