"""An operator moderates in a browser: the queue of reports, a ban, the connections, on a wide screen and on a phone."""

import asyncio
import json
import os
import time
from typing import Any

import pytest
import pytest_asyncio
import websockets
from playwright.async_api import ViewportSize, expect

from tests.acceptance.relay_process import RelayProcess
from tests.browser.conftest import DESKTOP, PHONE, Tab, publish
from tests.browser.test_admin import office, operator
from tests.events import pubkey_of, secret, sign_event

__all__ = ["office", "operator"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPAMMER = secret(60)
HOSTILE = "<b>buy</b> \u202eyub " + "a" * 300
PICTURES = os.environ.get("TEST_PICTURES", "")
"""A folder for screenshots, for people to look at."""
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["wide", "phone"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def reported(relay: RelayProcess) -> dict[str, Any]:
    """A note that three people report."""
    now = int(time.time())
    note = sign_event(SPAMMER, content=HOSTILE, created_at=now - 5)
    reports = [
        sign_event(
            secret(number),
            kind=1984,
            content=HOSTILE,
            tags=[["e", note["id"], "spam"], ["p", pubkey_of(SPAMMER)]],
            created_at=now - 4,
        )
        for number in range(61, 64)
    ]
    await publish(relay, note, *reports)
    return note


async def look(tab: Tab, name: str, size: ViewportSize) -> None:
    """The page is as wide as the window, and nothing went wrong on it."""
    if PICTURES:
        await tab.page.screenshot(path=f"{PICTURES}/{name}-{size['width']}.png", full_page=True)
    assert await tab.width() <= size["width"]
    assert tab.faults == []


@SIZES
async def test_the_pages_of_moderation_fit_the_window(
    operator: Tab, reported: dict[str, Any], size: ViewportSize
) -> None:
    await operator.page.set_viewport_size(size)
    for path in ("report", "connection", "bannedkey", "blockednetwork", "kindrule", "bannedkey/do/ban-key"):
        await operator.open(f"/admin/relay/{path}/")
        await expect(operator.page.locator("h1")).to_be_visible()
        await look(operator, path.replace("/", "-"), size)


@SIZES
async def test_a_connection_of_any_worker_is_listed_and_ended(
    operator: Tab, relay: RelayProcess, size: ViewportSize
) -> None:
    await operator.page.set_viewport_size(size)
    address = f"192.0.2.{size['width'] % 256}"
    async with websockets.connect(relay.ws_url, additional_headers={"X-Forwarded-For": address}) as socket:
        await socket.send(json.dumps(["CLOSE", "anything"]))
        await operator.open(f"/admin/relay/connection/?q={address}")
        await expect(operator.page.get_by_role("link", name="End", exact=True).first).to_be_visible()
        await look(operator, "connections", size)
        await operator.page.get_by_role("link", name="End", exact=True).first.click()
        await operator.page.get_by_role("button", name="End").click()
        await expect(operator.page.get_by_text("Connection ended.")).to_be_visible()
        async with asyncio.timeout(5):
            await socket.wait_closed()
        assert socket.close_code == 1008


async def received(socket: websockets.ClientConnection, *verbs: str) -> list[Any]:
    """The next message with one of `verbs`; others, such as the challenge, are left out."""
    async with asyncio.timeout(10):
        while (message := json.loads(await socket.recv()))[0] not in verbs:
            pass
        return list(message)


async def test_a_reported_event_is_removed_and_its_author_banned(
    operator: Tab, relay: RelayProcess, reported: dict[str, Any]
) -> None:
    page = operator.page
    await page.set_viewport_size(DESKTOP)
    await operator.open("/admin/relay/report/")
    row = page.get_by_role("row", name="spam 3")
    await expect(row).to_contain_text("<b>buy</b>")
    await row.get_by_role("link", name="Ban author").click()
    await page.get_by_label("Reason").fill("advertising")
    await look(operator, "ban", DESKTOP)
    await page.get_by_role("button", name="Ban").click()
    await expect(page.get_by_text("Key banned, and what it stored is removed")).to_be_visible()
    async with websockets.connect(relay.ws_url) as socket:
        again = sign_event(SPAMMER, content="again", created_at=int(time.time()))
        await socket.send(json.dumps(["EVENT", again]))
        answer = await received(socket, "OK")
        assert answer[2] is False
        assert answer[3].startswith("blocked: ")
        await socket.send(json.dumps(["REQ", "s", {"ids": [reported["id"]]}]))
        assert await received(socket, "EVENT", "EOSE") == ["EOSE", "s", ["finish"]]
    await operator.open("/admin/admin/logentry/")
    await expect(page.get_by_text("Reason: advertising")).to_be_visible()
    await look(operator, "log", DESKTOP)
