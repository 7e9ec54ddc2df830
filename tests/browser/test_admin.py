"""The admin in a browser: its scripts run under its Content-Security-Policy, and nothing on it is broken."""

import json
import time
from typing import Any

import pytest
import websockets
from playwright.async_api import expect

from tests.acceptance.relay_process import RelayProcess
from tests.browser.conftest import Tab
from tests.events import secret, sign_event


@pytest.fixture(scope="session")
def cookies() -> list[Any]:
    """Those of the first sign-in: checking a password is made to be slow."""
    return []


@pytest.fixture
async def operator(tab: Tab, relay: RelayProcess, cookies: list[Any]) -> Tab:
    """Signed in with the password that the first start printed."""
    if cookies:
        await tab.page.context.add_cookies(cookies)
        return tab
    await tab.open("/admin/")
    await tab.page.fill("#id_username", "admin")
    await tab.page.fill("#id_password", str(relay.password()))
    await tab.page.get_by_role("button", name="Log in").click()
    await expect(tab.page.get_by_text("Site administration")).to_be_visible()
    cookies.extend(await tab.page.context.cookies())
    return tab


@pytest.fixture
async def published(relay: RelayProcess) -> str:
    """The id of a stored note with hostile content."""
    content = "<b>seen</b> by the operator"
    event = sign_event(secret(9), content=content, tags=[["t", "seen"]], created_at=int(time.time()))
    async with websockets.connect(relay.ws_url) as socket:
        await socket.send(json.dumps(["EVENT", event]))
        assert json.loads(await socket.recv())[2] is True
    return str(event["id"])


async def test_an_operator_signs_in_and_sees_events(operator: Tab, published: str) -> None:
    await operator.open("/admin/relay/event/")

    await expect(operator.page.get_by_text("<b>seen</b> by the operator").first).to_be_visible()
    assert operator.faults == []


async def test_an_event_has_a_page_and_its_tags_lead_on(operator: Tab, published: str) -> None:
    await operator.open(f"/admin/relay/event/{published}/change/")
    await expect(operator.page.locator(".relay-block").first).to_have_text("<b>seen</b> by the operator")

    await operator.page.get_by_role("link", name="seen").click()

    await expect(operator.page.locator("#searchbar")).to_have_value('t:"seen"')
    await expect(operator.page.locator("td.field-excerpt").first).to_have_text("<b>seen</b> by the operator")
    assert operator.faults == []


async def test_the_filters_open_and_narrow_the_list(operator: Tab, published: str) -> None:
    await operator.open("/admin/relay/event/")
    await operator.page.locator("a", has_text="Filters").first.click()
    await operator.page.get_by_label("Kind, for example 1").fill("30023")
    await operator.page.get_by_role("button", name="Apply Filters").click()

    await operator.page.wait_for_url("**kind=30023**")
    await expect(operator.page.get_by_text("<b>seen</b> by the operator")).to_have_count(0)
    assert operator.faults == []


@pytest.mark.parametrize(
    "path", ["/admin/relay/tag/", "/admin/relay/change/", "/admin/auth/user/", "/admin/auth/user/1/change/"]
)
async def test_no_page_violates_the_policy(operator: Tab, published: str, path: str) -> None:
    await operator.open(path)
    await operator.page.wait_for_load_state("networkidle")

    assert operator.faults == []
