"""Takes the pictures of the page for README and guides, from a running system: never by hand.

    python -m tests.browser.screenshots [FOLDER]

Starts a mesh of its own, lets some buyers in, breaks inventory, and writes `home`, `sold`, `undone` in both languages
and `docs`, each light and dark, to FOLDER (docs/pictures). Exit code 3: no Chromium. Raises `TooLarge` for a picture
that a page cannot afford.
"""

import asyncio
import shutil
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from chaos.stack import Stack
from tests.browser.conftest import FLAGS
from tests.browser.png import packed
from tests.support import free_base_port

FOLDER: Final = Path(__file__).resolve().parents[2] / "docs" / "pictures"
MOST_BYTES: Final = 200_000
WINDOW: Final[ViewportSize] = {"width": 1280, "height": 960}
NAME: Final = {"es": "Ana López", "en": "Ann Jones"}
SCHEMES: Final = ("light", "dark")

BUYERS: Final = 3
PAUSE_S: Final = 0.4
"""Between two purchases of one buyer, seconds: a mesh at work, not one under load."""


class TooLarge(Exception):
    """A picture has more bytes than a page should load."""


async def main(folder: Path) -> int:
    """Take all pictures."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        sys.stderr.write("no chromium here: apt-get install chromium\n")
        return 3
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        async with (
            Stack(base_port=free_base_port(), data=Path(data)) as stack,
            httpx.AsyncClient(base_url=stack.url("gateway"), timeout=20) as api,
            async_playwright() as playwright,
        ):
            browser = await playwright.chromium.launch(
                executable_path=path, args=[*FLAGS, "--disable-lcd-text"]
            )
            await _take_all(browser, api, folder)
            await browser.close()
    return 0


async def _take_all(browser: Browser, api: httpx.AsyncClient, folder: Path) -> None:
    await _fill_the_hall(api)
    undone = await _undone(api)
    for lang in ("es", "en"):
        page = await _page(browser)
        sold = await _buy_two(page, str(api.base_url), lang)
        async with _busy(api), _fault(api, "inventory/crash", {"enabled": True}):
            await expect(page.locator("#graph .edge.open").first).to_be_attached(timeout=20_000)
            await page.locator("#buy").scroll_into_view_if_needed()
            await _both(page, folder, f"home-{lang}")
        for name, reservation in (("sold", sold), ("undone", undone)):
            await page.goto(f"{api.base_url}/r/{reservation}?lang={lang}")
            await expect(page.locator("#lesson")).not_to_be_empty()
            await _both(page, folder, f"{name}-{lang}", full=True)
        await page.context.close()
    page = await _page(browser)
    await page.goto(f"{api.base_url}/docs")
    await expect(page.locator(".opblock").first).to_be_visible(timeout=20_000)
    await _both(page, folder, "docs")


async def _page(browser: Browser) -> Page:
    context = await browser.new_context(viewport=WINDOW, locale="es-ES")
    return await context.new_page()


async def _fill_the_hall(api: httpx.AsyncClient) -> None:
    """Some seats are gone already, as in a real hall."""
    taken = [
        ["A-05", "A-06", "A-07"],
        ["B-03", "B-04"],
        ["C-06", "C-07", "C-08"],
        ["E-10"],
        ["F-02"],
    ]
    for index, seats in enumerate(taken):
        order = {"user_id": f"visita-{index}", "event_id": "concert-01", "seats": seats}
        (await api.post("/api/reserve", json=order)).raise_for_status()


async def _undone(api: httpx.AsyncClient) -> str:
    """Id of a reservation whose payment was too slow."""
    async with _fault(api, "payments/latency", {"seconds": 20}):
        answer = await api.post("/api/reserve", json={"user_id": "luis", "event_id": "concert-01"})
    return str(answer.json()["reservation_id"])


async def _buy_two(page: Page, home: str, lang: str) -> str:
    """As a buyer on the page, who picks two seats; the reservation's id."""
    await page.goto(f"{home}/?lang={lang}")
    row = {"es": "D", "en": "E"}[lang]
    for seat in (f"{row}-06", f"{row}-07"):
        await page.locator(f"[data-seat='{seat}']").click()
    await page.locator("#name").fill(NAME[lang])
    await page.locator("#reserve").click()
    link = page.locator("#answer a")
    await expect(link).to_be_visible()
    return str(await link.get_attribute("href")).rpartition("/")[2]


@asynccontextmanager
async def _fault(api: httpx.AsyncClient, fault: str, order: dict[str, Any]) -> Any:
    (await api.post(f"/api/lab/faults/{fault}", json=order)).raise_for_status()
    try:
        yield
    finally:
        (await api.delete("/api/lab/faults")).raise_for_status()


@asynccontextmanager
async def _busy(api: httpx.AsyncClient) -> Any:
    """Buyers who come and go."""

    async def buyer(number: int) -> None:
        while True:
            order = {"user_id": f"gente-{number}", "event_id": "festival-01"}
            await api.post("/api/reserve", json=order)
            await asyncio.sleep(PAUSE_S)

    crowd = [asyncio.create_task(buyer(number)) for number in range(BUYERS)]
    try:
        yield
    finally:
        for one in crowd:
            one.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)


async def _both(page: Page, folder: Path, name: str, *, full: bool = False) -> None:
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme)
        picture = packed(await page.screenshot(full_page=full))
        if len(picture) > MOST_BYTES:
            raise TooLarge(f"{name}-{scheme}: {len(picture)} bytes")
        (folder / f"{name}-{scheme}.png").write_bytes(picture)
        sys.stdout.write(f"{name}-{scheme}.png {len(picture)}\n")


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)))
