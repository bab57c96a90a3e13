"""Headless Chromium in front of a real mesh; skipped with a reason where there is no Chromium.

Browser and mesh are started once for all these tests; every fault is off again after each of them.
"""

import os
import re
import shutil

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import async_playwright

from chaos.stack import Stack
from tests.support import free_base_port

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

REFUSAL = re.compile(r"Failed to load resource: the server responded with a status of (\d{3})")
"""What Chromium writes into the console for every answer from 400 on, whether or not the page expects it."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(120))


def chromium() -> str:
    """Path of the browser; without one the test is skipped, or fails where one is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        reason = (
            "no chromium here: apt-get install chromium (REQUIRE_BROWSER=1 makes this a failure)"
        )
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser():
    """One Chromium for all tests."""
    path = chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield running
        finally:
            await running.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(browser, tmp_path_factory):
    """A running mesh in lab mode; not started where there is no browser to look at it."""
    data = tmp_path_factory.mktemp("mesh")
    async with Stack(base_port=free_base_port(), data=data) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def api(stack):
    """The gateway without a browser; afterwards no fault is on."""
    async with httpx.AsyncClient(base_url=stack.url("gateway"), timeout=20) as http:
        yield http
        (await http.delete("/api/lab/faults")).raise_for_status()


class Watched:
    """A page together with everything it asked for and complained about.

    Attributes:
        expected: Statuses that this test provokes; the console may mention them.
    """

    def __init__(self, page, home: str):
        self.page = page
        self.home = home
        self.requests: list[str] = []
        self.expected: set[int] = set()
        self._complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self._complaints.append(str(error)))
        page.on(
            "console",
            lambda said: self._complaints.append(said.text) if said.type == "error" else None,
        )

    def complaints(self) -> list[str]:
        """Errors in the console, but for the refusals that this test provokes."""
        return [
            text
            for text in self._complaints
            if not ((found := REFUSAL.match(text)) and int(found[1]) in self.expected)
        ]

    def foreign(self) -> list[str]:
        """Requests that left this machine."""
        ours = ("http://127.0.0.1:", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(ours)]

    def assert_well_behaved(self) -> None:
        """No error in the console, and nothing asked for elsewhere."""
        assert self.complaints() == []
        assert self.foreign() == []


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser, stack):
    """Opens fresh browser profiles: `await open_page(**options)` is a `Watched`."""
    contexts = []

    async def fresh(**options) -> Watched:
        context = await browser.new_context(**{"locale": "es-ES", **options})
        contexts.append(context)
        page = await context.new_page()
        page.set_default_timeout(20_000)
        return Watched(page, stack.url("gateway"))

    yield fresh
    for context in contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def watched(open_page):
    """One page in a fresh profile."""
    return await open_page()
