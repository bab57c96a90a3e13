"""The page of one reservation: its saga to scale, step by step, and what seat and money were."""

import itertools
import re

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

ORDER = {"user_id": "ana", "event_id": "festival-01", "quantity": 1}


async def widths(page, lane: str) -> list[float]:
    """Each bar of a lane as a share of the lane's width."""
    track = page.locator(".lane", has_text=lane).locator(".track")
    whole = (await track.bounding_box())["width"]
    return [
        (await bar.bounding_box())["width"] / whole for bar in await track.locator(".bar").all()
    ]


async def test_a_sold_reservation_tells_its_steps(watched):
    page = watched.page
    await page.goto(watched.home)
    await page.get_by_label("Tu nombre").fill("Luis")
    await page.get_by_role("button", name="Reservar").click()
    await page.locator("#answer").get_by_role("link", name="Ver paso a paso").click()
    await expect(page).to_have_url(re.compile(r"/r/r[0-9a-f]{32}$"))
    await expect(page.get_by_role("heading", level=1)).to_have_text("Reserva confirmada.")
    steps = page.locator(".timeline li")
    await expect(steps.first).to_contain_text("Solicitud aceptada")
    for step, seat, money in (
        ("hold", "apartado", "intacto"),
        ("authorize", "apartado", "retenido, sin cobrar"),
        ("sell", "tuyo", "se cobra ahora, una vez"),
    ):
        row = page.locator(f".timeline [data-step={step}]").first
        await expect(row.locator(".now")).to_contain_text(seat)
        await expect(row.locator(".now")).to_contain_text(money)
    await expect(page.locator("#lesson")).to_contain_text("se apartó antes de pedir el dinero")
    watched.assert_well_behaved()


async def test_a_compensated_reservation_shows_what_was_undone_to_scale(watched, api):
    slow = await api.post("/api/lab/faults/payments/latency", json={"seconds": 20, "ttl_s": 60})
    assert slow.status_code == 200
    refused = await api.post("/api/reserve", json=ORDER)
    assert refused.status_code == 504
    page = watched.page
    await page.goto(f"{watched.home}/r/{refused.json()['reservation_id']}")
    await expect(page.locator("#facts")).to_contain_text("el pago tardó demasiado")

    undecided = page.locator(".timeline [data-step=authorize][data-outcome=CANCELLING]")
    await expect(undecided).to_have_class("error")
    undone = page.locator(".timeline [data-step=undo][data-outcome=PAYMENT_TIMEOUT]").last
    await expect(undone).to_have_class("compensation")
    await expect(undone.locator(".now")).to_contain_text("libre otra vez")
    await expect(undone.locator(".now")).to_contain_text("anulado: no se movió")
    await expect(page.locator(".gantt .bar.compensation").first).to_be_attached()
    await expect(page.locator("#lesson")).to_contain_text("no moverá dinero")
    # Three seconds of payment against milliseconds of the rest: the picture is to scale.
    assert max(await widths(page, "pagos")) > 0.7
    assert max(await widths(page, "inventario")) < 0.1
    watched.assert_well_behaved()


async def test_a_cancellation_is_an_act_of_its_own(watched, api):
    bought = (await api.post("/api/reserve", json=ORDER)).json()
    path = f"/api/reservations/{bought['reservation_id']}"
    headers = {"X-Manage-Token": bought["manage_token"]}
    assert (await api.post(f"{path}/cancel", headers=headers)).status_code in (200, 202)
    page = watched.page
    await page.goto(f"{watched.home}/r/{bought['reservation_id']}?lang=en")
    # A charge that left late has an act of its own, so this one may be the second or the third.
    act = page.locator(".act", has_text="the cancellation")
    await expect(act).to_have_count(1)
    await expect(act).to_contain_text("returned")
    await expect(page.locator("#lesson")).to_contain_text("Cancelling is a saga too")
    await page.get_by_role("button", name="Español").click()
    await expect(page.locator(".act", has_text="la cancelación (")).to_have_count(1)
    watched.assert_well_behaved()


async def test_an_unknown_reservation_is_said_to_be_unknown(watched):
    watched.expected.add(404)
    page = watched.page
    await page.goto(f"{watched.home}/r/r{'0' * 32}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Reserva desconocida")
    await expect(page.locator("#steps-title")).to_be_hidden()
    watched.assert_well_behaved()


async def test_seat_and_money_are_known_at_every_moment_of_every_act(watched):
    """The rules of the picture, apart from the picture: no gap, each act on its own scale, late errands apart."""
    page = watched.page
    await page.goto(watched.home)
    told = [
        ("accept", 0, None, "RECEIVED", "reservations", "step"),
        ("hold", 4, 4, "HELD", "inventory", "step"),
        ("authorize", 9, 5, "AUTHORIZED", "payments", "step"),
        ("sell", 12, 3, "CONFIRMED", "inventory", "step"),
        ("notify", 9012, 9000, "SENT", "notifications", "step"),
        ("cancel", 60_000, None, "REFUNDING", "reservations", "step"),
        ("refund", 60_004, 3, "failed", "payments", "attempt"),
        ("refund", 60_009, 5, "REFUNDED", None, "compensation"),
    ]
    names = ("step", "at", "duration_ms", "outcome", "service", "kind")
    moments = [dict(zip(names, one, strict=True), attempt=1, detail=None) for one in told]
    acts = await page.evaluate(
        """async (moments) => {
            const { actsOf, stretches } = await import("/web/saga.js");
            for (const one of moments) one.at = new Date(one.at).toISOString();
            return actsOf(moments).map((act) => ({
                kind: act.kind, start: act.start, end: act.end,
                numbers: act.spans.map((span) => span.isTry ? null : span.number),
                seat: stretches(act, "seat"), money: stretches(act, "money"),
            }));
        }""",
        moments,
    )
    assert [act["kind"] for act in acts] == ["first", "later", "cancel"]
    assert [act["numbers"] for act in acts] == [[1, 2, 3, 4], [5], [6, None, 7]]
    for act in acts:
        for what in ("seat", "money"):
            parts = act[what]
            assert (parts[0]["start"], parts[-1]["end"]) == (act["start"], act["end"])
            assert all(one["end"] == other["start"] for one, other in itertools.pairwise(parts))
    assert [part["word"] for part in acts[0]["seat"]] == ["none", "held", "yours"]
    assert [part["word"] for part in acts[1]["money"]] == ["charged"]
    assert [part["word"] for part in acts[2]["money"]][-2:] == ["refunding", "returned"]
