"""`/docs` can be tried: operations of all five services are executed, as a person would, through the gateway."""

import pytest
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")

TRIED = [
    ("gateway", "POST", "/api/reserve", "/api/reserve", "Reserva confirmada."),
    ("reservations", "POST", "/reserve", "/svc/reservations/reserve", "Reserva confirmada."),
    ("inventory", "POST", "/reserve", "/svc/inventory/reserve", '"hold_id"'),
    ("payments", "POST", "/pay", "/svc/payments/pay", '"payment_ref"'),
    ("notifications", "POST", "/send", "/svc/notifications/send", '"delivered"'),
    ("payments", "GET", "/chaos", "/svc/payments/chaos", '"latency"'),
    ("gateway", "GET", "/api/events", "/api/events", "concert-01"),
]
"""Service, operation, where the request goes, and what the answer must show; bodies are the examples as they stand."""


def operation(page, method, path):
    """The block of one operation."""
    return page.locator(f".opblock-{method.lower()}").filter(
        has=page.locator(f'.opblock-summary-path[data-path="{path}"]')
    )


@pytest.mark.parametrize(
    ("service", "method", "path", "sent_to", "shown"), TRIED, ids=lambda one: str(one)[:24]
)
async def test_an_operation_is_executed_as_it_stands(
    watched, service, method, path, sent_to, shown
):
    page = watched.page
    await page.goto(f"{watched.home}/docs?spec={service}")
    block = operation(page, method, path)
    await block.locator(".opblock-summary").click()
    async with page.expect_response(lambda answer: answer.url.endswith(sent_to)) as waiting:
        await block.get_by_role("button", name="Execute").click()
    answer = await waiting.value
    assert answer.status == 200, await answer.text()
    await expect(block.locator(".live-responses-table .response").first).to_contain_text(shown)
    watched.assert_well_behaved()


async def test_a_refusal_shows_its_examples_in_both_languages(watched):
    page = watched.page
    await page.goto(f"{watched.home}/docs?spec=gateway")
    block = operation(page, "POST", "/api/reserve")
    await block.locator(".opblock-summary").click()
    refused = block.locator(".responses-table:not(.live-responses-table) tr.response").filter(
        has_text="payment_declined"
    )
    await refused.locator("select.examples-select-element, .examples-select select").select_option(
        "payment_declined.en"
    )
    await expect(refused).to_contain_text("The payment provider declined the payment.")
