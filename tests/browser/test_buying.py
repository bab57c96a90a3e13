"""Buying, by mouse, by keyboard alone, against somebody else; cancelling; and the answer in words."""

import asyncio
import re

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOST_TABS = 80


async def order(page, name: str = "Ana López") -> None:
    await page.get_by_label("Tu nombre").fill(name)
    await page.get_by_role("button", name="Reservar").click()


async def tab_to(page, target) -> None:
    """Press Tab until `target` has the focus."""
    for _ in range(MOST_TABS):
        if await target.evaluate("(node) => node === document.activeElement"):
            return
        await page.keyboard.press("Tab")
    pytest.fail(f"{target} is not reached by Tab")


async def test_reserving_and_cancelling_by_mouse(watched):
    page = watched.page
    await page.goto(watched.home)
    await page.get_by_role("button", name="Asiento D-04, libre").click()
    await expect(page.locator("#total")).to_contain_text("D-04")
    await order(page)
    answer = page.locator("#answer")
    await expect(answer).to_contain_text("Reserva confirmada.")
    await expect(answer).to_contain_text("D-04")
    await expect(answer).to_contain_text("Es tuyo.")
    await expect(page.get_by_role("button", name="Asiento D-04, tuyo")).to_be_visible()
    mine = page.locator("#reservations li")
    await expect(mine).to_contain_text("confirmada")

    await page.reload()
    await expect(mine).to_contain_text("confirmada")
    await expect(page.get_by_role("button", name="Asiento D-04, tuyo")).to_be_visible()
    await mine.get_by_role("button", name="Cancelar").click()
    await mine.get_by_role("button", name="Sí, cancelar").click()
    await expect(mine).to_contain_text("devuelta")
    await expect(page.get_by_role("button", name="Asiento D-04, libre")).to_be_visible()
    watched.assert_well_behaved()


async def test_reserving_and_cancelling_by_keyboard_alone(watched):
    page = watched.page
    await page.goto(watched.home)
    await expect(page.get_by_role("button", name="Asiento A-01")).to_be_visible()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Ir a comprar")).to_be_focused()
    await page.keyboard.press("Enter")

    await tab_to(page, page.locator("#map [tabindex='0']"))
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "Space"):
        await page.keyboard.press(key)
    await expect(page.get_by_role("button", name="Asiento E-02, elegido")).to_be_focused()
    await expect(page.locator("#total")).to_contain_text("E-02")
    await page.keyboard.press("Tab")  # one stop for the whole map
    await expect(page.locator("#map :focus")).to_have_count(0)

    await tab_to(page, page.get_by_label("Tu nombre"))
    await page.keyboard.type("Luis")
    await tab_to(page, page.get_by_role("button", name="Reservar"))
    await page.keyboard.press("Enter")
    await expect(page.locator("#answer")).to_be_focused()
    await expect(page.locator("#answer")).to_contain_text("Reserva confirmada.")

    mine = page.locator("#reservations li")
    await tab_to(page, mine.get_by_role("button", name="Cancelar"))
    await page.keyboard.press("Enter")
    await expect(mine.get_by_role("button", name="Sí, cancelar")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(mine).to_contain_text("devuelta")
    watched.assert_well_behaved()


async def test_of_two_browsers_that_want_the_last_seat_one_gets_it(open_page, api):
    """Neither the loser's money nor the winner's seat is left in the air, and both maps agree."""
    reset = {"event_id": "concert-02", "seats": 1}
    assert (await api.post("/api/lab/reset", json=reset)).status_code == 200
    rivals = [await open_page(), await open_page()]
    for rival in rivals:
        rival.expected.add(409)
        page = rival.page
        await page.goto(rival.home)
        await page.get_by_role("radio", name="Sinfonía en la Plaza").check(force=True)
        last = page.get_by_role("button", name=re.compile("^Asiento .*, libre$"))
        await expect(last).to_have_count(1)
        await last.click()
        await page.get_by_label("Tu nombre").fill("Rival")
    buttons = [rival.page.get_by_role("button", name="Reservar") for rival in rivals]
    await asyncio.gather(*(button.click() for button in buttons))

    told = []
    for rival in rivals:
        answer = rival.page.locator("#answer")
        await expect(answer.locator("h2")).to_be_visible()
        told.append(await answer.inner_text())
    won = ["Reserva confirmada." in text for text in told]
    assert sorted(won) == [False, True], told
    loser = told[won.index(False)]
    assert "No se cobró nada." in loser
    assert "Otra persona se adelantó" in loser
    for rival, has_won in zip(rivals, won, strict=True):
        word = "tuyo" if has_won else "vendido"
        await expect(
            rival.page.get_by_role("button", name=re.compile(f", {word}$")).first
        ).to_be_visible()
        await expect(rival.page.get_by_role("button", name=re.compile(", libre$"))).to_have_count(0)
        rival.assert_well_behaved()
    assert (await api.post("/api/lab/reset", json={**reset, "seats": 60})).status_code == 200


async def test_a_held_seat_shows_when_it_is_free_again(watched):
    """The map says until when a seat is held; the page counts down, in the seat and in its name."""
    page = watched.page

    async def with_a_hold(route):
        answer = await route.fetch()
        found = await answer.json()
        until = await page.evaluate("() => new Date(Date.now() + 9500).toISOString()")
        found["seats"][0] |= {"state": "held", "held_until": until}
        await route.fulfill(response=answer, json=found)

    await page.route("**/api/events/*/seats", with_a_hold)
    await page.goto(watched.home)
    held = page.get_by_role("button", name=re.compile(r"apartado, caduca en \d+ s"))
    await expect(held).to_have_text(re.compile("^(10|9)s$"))
    await expect(held).to_have_text("8s")
    await held.click(force=True)
    await expect(page.locator("#map .chosen")).to_have_count(0)
    watched.assert_well_behaved()


async def test_a_hall_too_large_for_a_map_is_sold_by_number(watched):
    page = watched.page
    await page.goto(watched.home)
    await page.get_by_role("radio", name="Festival del Palacio").check(force=True)
    await expect(page.locator("#seating")).to_be_hidden()
    await page.get_by_label("Cantidad").fill("3")
    await order(page)
    await expect(page.locator("#answer")).to_contain_text("Reserva confirmada.")
    await expect(page.locator("#reservations li")).to_contain_text("Festival del Palacio")
    watched.assert_well_behaved()
