"""The page that `load --html` writes: it asks for nothing, complains of nothing, and axe finds nothing on it."""

import math
import random

import pytest
from axe_playwright_python.async_playwright import Axe

from chaos.load.gauges import Sample
from chaos.load.page import as_html
from chaos.load.plan import Plan
from chaos.load.report import Report
from chaos.load.tally import NOT_SENT, Second
from chaos.texts import Say

pytestmark = pytest.mark.asyncio(loop_scope="session")

SECONDS = 30
EDGES = ("gateway→reservations.reserve", "reservations→inventory.hold")


def flood() -> Report:
    """Half a minute with everything that a page can show: a stall, breakers, a late client, people not sent."""
    lots = random.Random(1)
    seconds = {}
    for number in range(SECONDS):
        stalled = 12 <= number < 15
        one = Second(due=200, sent=180 if stalled else 200, in_flight=5, cpu_s=0.3)
        for _ in range(one.sent):
            one.lag.add(0.0005 + lots.expovariate(1000 if number < 20 else 60))
        for _ in range(0 if stalled else 90):
            one.add(200, "confirmed", 0.01 + lots.expovariate(80) + (number == 15) * 2.5, None)
        for _ in range(20 if stalled else 100):
            one.add(429, "gateway_saturated", 0.001 + lots.expovariate(900), 1.0)
        for _ in range(20 * stalled):
            one.add(0, NOT_SENT, 0.0, None)
        one.add(409, "sold_out", 0.008, None)
        one.add(503, "inventory_unavailable", 0.003, 1.0)
        one.until_s = number + 0.99
        seconds[number] = one
    phases = ["closed"] * 12 + ["open"] * 3 + ["half_open"] + ["closed"] * 14
    samples = [
        Sample(number + 0.25, 5 + 2 * math.sin(number / 4), number % 5, dict.fromkeys(EDGES, phase))
        for number, phase in enumerate(phases)
    ]
    return Report(
        plan=Plan("festival-01", requests=200 * SECONDS, rate_per_s=200, arrivals="poisson"),
        seconds=seconds,
        samples=samples,
        room=4000,
        healthy_after=True,
    )


@pytest.mark.parametrize("lang", ["es", "en"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
async def test_the_report_is_a_page_of_its_own(browser, tmp_path, lang, scheme, width):
    path = tmp_path / "load.html"
    path.write_text(as_html(flood(), None, Say(lang)), encoding="utf-8")
    context = await browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    page = await context.new_page()
    asked, complaints = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    await page.goto(path.as_uri())
    assert asked == [path.as_uri()]
    assert complaints == []
    assert await page.locator("svg").count() == 8
    overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0
    found = (await Axe().run(page)).response["violations"]
    assert [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]] == []
    await context.close()
