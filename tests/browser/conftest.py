"""A real browser before a real relay, one of each for all of these tests, on one event loop.

Chromium comes from the system: playwright brings none of its own here.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
import websockets
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright, expect

from tests.acceptance.relay_process import RelayProcess
from tests.mmdb import record, write_mmdb

INSTALL = "apt-get install -y chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 360, "height": 740}
PATIENCE_MS = 15_000

expect.set_options(timeout=PATIENCE_MS)


@dataclass
class Tab:
    """A page, and what went wrong on it: console errors (a CSP violation is one), exceptions, failed requests."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)

    def watch(self) -> "Tab":
        self.page.on(
            "console", lambda said: self.faults.append(said.text) if said.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on(
            "response", lambda got: self.faults.append(f"{got.status} {got.url}") if got.status >= 400 else None
        )
        return self

    async def open(self, path: str) -> None:
        await self.page.goto(self.address + path)

    async def width(self) -> int:
        """How wide the page is; wider than the window is too wide."""
        return int(await self.page.evaluate("document.documentElement.scrollWidth"))


@pytest.fixture(scope="session")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """A relay with two workers behind a proxy on this machine, which locks an address out after two failures and knows
    that 81.2.69.0/24 is in Osaka.
    """
    folder = tmp_path_factory.mktemp("relay")
    places = write_mmdb(folder / "city.mmdb", {"81.2.69.0/24": record(34.7, 135.5, "Osaka", "JP")})
    settings = {
        "RELAY_TRUSTED_PROXIES": "127.0.0.0/8",
        "RELAY_LOGIN_FAILURES": "2",
        "RELAY_GEOIP_DATABASE": str(places),
    }
    process = RelayProcess(folder / "var", workers=2, settings=settings)
    try:
        yield process.start()
    finally:
        process.destroy()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip(f"Chromium is not installed: {INSTALL}")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def contexts(browser: Browser) -> AsyncIterator[list[BrowserContext]]:
    """The contexts of a test, closed at its end."""
    opened: list[BrowserContext] = []
    yield opened
    for context in opened:
        await context.close()


class NewTab:
    """Opens a tab in a context of its own."""

    def __init__(self, browser: Browser, address: str, opened: list[BrowserContext]) -> None:
        self._browser, self._address, self._opened = browser, address, opened

    async def __call__(self, **context: Any) -> Tab:
        made = await self._browser.new_context(**{"viewport": DESKTOP, **context})
        made.set_default_timeout(PATIENCE_MS)
        self._opened.append(made)
        return Tab(await made.new_page(), self._address).watch()


@pytest.fixture
def new_tab(browser: Browser, relay: RelayProcess, contexts: list[BrowserContext]) -> NewTab:
    """Opens tabs with `viewport`, `color_scheme` or whatever else a context takes."""
    return NewTab(browser, relay.http_url, contexts)


@pytest_asyncio.fixture(loop_scope="session")
async def tab(new_tab: NewTab) -> Tab:
    """An empty tab, on a wide screen."""
    return await new_tab()


async def publish(relay: RelayProcess, *events: dict[str, Any]) -> None:
    """Publish signed events as another client does; returns when all are stored."""
    async with websockets.connect(relay.ws_url) as socket:
        assert json.loads(await asyncio.wait_for(socket.recv(), 10))[0] == "AUTH"
        for event in events:
            await socket.send(json.dumps(["EVENT", event]))
        for _ in events:
            assert json.loads(await asyncio.wait_for(socket.recv(), 10))[2] is True
