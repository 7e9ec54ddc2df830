"""A real browser before a real relay. Chromium comes from the system: playwright brings none of its own here."""

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, Page, async_playwright

from tests.acceptance.conftest import relay  # noqa: F401
from tests.acceptance.relay_process import RelayProcess

INSTALL = "apt-get install -y chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


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


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium, without a window."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip(f"Chromium is not installed: {INSTALL}")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        yield started
        await started.close()


@pytest.fixture
async def tab(browser: Browser, relay: RelayProcess) -> Tab:  # noqa: F811
    """An empty tab, on a wide screen."""
    context = await browser.new_context(viewport={"width": 1280, "height": 860})
    context.set_default_timeout(15_000)
    return Tab(await context.new_page(), relay.http_url).watch()
