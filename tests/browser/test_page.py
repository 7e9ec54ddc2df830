"""The page for people, as a visitor meets it."""

import re
import time
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.acceptance.relay_process import RelayProcess
from tests.browser import conftest
from tests.browser.conftest import PHONE, NewTab, Tab
from tests.events import secret, sign_event

pytestmark = pytest.mark.asyncio(loop_scope="session")

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>&amp;\u202e\x00"


async def publish(relay: RelayProcess, *contents: str) -> None:
    """Publish notes as another client does."""
    now = int(time.time())
    await conftest.publish(relay, *[sign_event(secret(7), content=content, created_at=now) for content in contents])


async def live(page: Page) -> None:
    await expect(page.locator("#live-state")).to_have_text("Live")


async def test_a_note_appears_the_moment_it_is_published(tab: Tab, relay: RelayProcess) -> None:
    await tab.open("/")
    await live(tab.page)

    await publish(relay, "a note that was just written")

    await expect(tab.page.locator(".note-text").first).to_have_text("a note that was just written")
    assert tab.faults == []


async def test_stored_notes_are_there_on_arrival_the_newest_on_top(tab: Tab, relay: RelayProcess) -> None:
    await publish(relay, "stored before")
    await tab.open("/")

    await expect(tab.page.locator(".note-text", has_text="stored before")).to_be_visible()
    times = [int(str(await when.get_attribute("data-at"))) for when in await tab.page.locator(".note time").all()]
    assert times == sorted(times, reverse=True)


async def test_hostile_content_is_text(tab: Tab, relay: RelayProcess) -> None:
    await tab.open("/")
    await live(tab.page)

    await publish(relay, HOSTILE)

    shown = tab.page.locator(".note-text").first
    await expect(shown).to_contain_text("<script>document.title='taken'</script>&amp;")
    assert await tab.page.locator(".notes img, .notes script").count() == 0
    assert "taken" not in await tab.page.title()
    assert tab.faults == []


async def test_the_list_is_bounded(tab: Tab, relay: RelayProcess) -> None:
    await tab.open("/")
    await live(tab.page)

    await publish(relay, *[f"one of many, {number}" for number in range(70)])

    await expect(tab.page.locator(".note-text").first).to_have_text("one of many, 69")
    await expect(tab.page.locator(".note")).to_have_count(50)


async def test_figures_are_those_of_the_relay_and_move(tab: Tab, relay: RelayProcess) -> None:
    await tab.open("/")
    await live(tab.page)
    await expect(tab.page.locator('[data-figure="workers"]')).to_have_text("2")
    await expect(tab.page.locator('[data-figure="connections"]')).to_have_text(re.compile(r"^[1-9]"))
    position = tab.page.locator('[data-figure="position"]')
    before = await position.inner_text()

    await publish(relay, f"moves the position {time.time()}")

    await expect(position).not_to_have_text(before)
    await expect(tab.page.locator("#relay-state")).to_have_text("Relay online")


async def test_a_pause_closes_the_connection_and_an_end_to_it_catches_up(tab: Tab, relay: RelayProcess) -> None:
    await tab.open("/")
    await live(tab.page)
    await tab.page.get_by_role("button", name="Pause").click()
    await expect(tab.page.locator("#live-state")).to_have_text("Paused")

    await publish(relay, "written during the pause")
    assert await tab.page.locator(".note-text", has_text="written during the pause").count() == 0
    await tab.page.get_by_role("button", name="Resume").click()

    await expect(tab.page.locator(".note-text", has_text="written during the pause")).to_be_visible()


async def test_an_interruption_ends_in_a_new_connection(tab: Tab, relay: RelayProcess) -> None:
    cut: list[Any] = []

    def cut_later(route: Any) -> None:
        route.connect_to_server()
        cut.append(route)

    await tab.page.route_web_socket(re.compile("^ws:"), cut_later)
    await tab.open("/")
    await live(tab.page)

    await cut[0].close()

    await expect(tab.page.locator("#live-state")).to_have_text("Reconnecting")
    await live(tab.page)
    await publish(relay, "after the interruption")
    await expect(tab.page.locator(".note-text").first).to_have_text("after the interruption")


async def test_the_address_is_the_relays_and_can_be_copied(tab: Tab, relay: RelayProcess) -> None:
    await tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await tab.open("/")

    await expect(tab.page.locator("#address")).to_have_text(relay.ws_url)
    await tab.page.locator(".address button").click()

    await expect(tab.page.locator(".address button")).to_have_text("Copied")
    assert await tab.page.evaluate("navigator.clipboard.readText()") == relay.ws_url


async def test_opened_by_another_name_it_follows_that_host(tab: Tab, relay: RelayProcess) -> None:
    tab.address = relay.http_url.replace("127.0.0.1", "localhost")
    await tab.open("/")

    await live(tab.page)
    assert tab.faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_fits_a_phone(new_tab: NewTab, relay: RelayProcess, scheme: Any) -> None:
    await publish(relay, "a word of " + "very" * 100 + "long length")
    tab = await new_tab(viewport=PHONE, color_scheme=scheme)
    await tab.open("/")
    await live(tab.page)
    await expect(tab.page.locator(".note").first).to_be_attached()

    assert await tab.width() == PHONE["width"]
    assert tab.faults == []


async def test_it_can_be_used_by_keyboard(tab: Tab) -> None:
    await tab.open("/")
    reached = []
    for _ in range(16):
        await tab.page.keyboard.press("Tab")
        reached.append(await tab.page.evaluate("document.activeElement.textContent.trim()"))

    assert reached[0] == "Skip to the live events"
    assert {"Live", "Connect", "Policies", "Copy", "Pause"} <= set(reached)
