"""Headless Chromium in front of a real mesh; skipped with a reason where there is no Chromium."""

import os
import shutil

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    """One Chromium for all tests of a module."""
    path = chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield running
        finally:
            await running.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(browser, tmp_path_factory):
    """A running mesh in lab mode; not started where there is no browser to look at it."""
    data = tmp_path_factory.mktemp("mesh")
    async with Stack(base_port=free_base_port(), data=data) as running:
        yield running


class Watched:
    """A page together with everything it asked for and complained about."""

    def __init__(self, page, home: str):
        self.page = page
        self.home = home
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "console",
            lambda said: self.complaints.append(said.text) if said.type == "error" else None,
        )

    def foreign(self) -> list[str]:
        """Requests that left this machine."""
        ours = ("http://127.0.0.1:", "data:", "blob:")
        return [url for url in self.requests if not url.startswith(ours)]


@pytest_asyncio.fixture(loop_scope="module")
async def watched(browser, stack):
    """A fresh browser profile on the page."""
    context = await browser.new_context(locale="es-ES")
    page = await context.new_page()
    page.set_default_timeout(20_000)
    yield Watched(page, stack.url("gateway"))
    await context.close()
