"""The admin in a browser, as an operator meets it: everything works, nothing is broken, no script of a note runs."""

import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Locator, ViewportSize, expect

from relay.protocol.nip19 import encode
from tests.acceptance.relay_process import RelayProcess
from tests.browser.conftest import DESKTOP, PATIENCE_MS, PHONE, NewTab, Tab, publish
from tests.events import pubkey_of, secret, sign_event

pytestmark = pytest.mark.asyncio(loop_scope="session")

AUTHOR = 9
HOSTILE = "<script>document.title='taken'</script><b>seen</b> by the operator \u202egnp.exe"
HANDHELD: ViewportSize = {"width": 390, "height": 844}
LIVE_MS = 3_000
"""A figure changes within this time of the event that changes it."""

PAGES = (
    "/admin/relay/tag/",
    "/admin/relay/change/",
    "/admin/analytics/activeauthor/",
    "/admin/analytics/reportedtarget/",
    "/admin/analytics/jobrun/",
    "/admin/django_celery_beat/periodictask/1/change/",
    "/admin/auth/user/",
    "/admin/auth/user/1/change/",
    "/admin/axes/accesslog/",
)
"""Those that no other test opens."""


async def sign_in(tab: Tab, password: str) -> None:
    await tab.open("/admin/login/?next=/admin/")
    await tab.page.fill("#id_username", "admin")
    await tab.page.fill("#id_password", password)
    await tab.page.get_by_role("button", name="Log in").click()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def office(browser: Browser, relay: RelayProcess) -> AsyncIterator[BrowserContext]:
    """Where an operator signed in, with the password that the first start printed. What was loaded once is kept."""
    context = await browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE_MS)
    tab = Tab(await context.new_page(), relay.http_url).watch()
    await sign_in(tab, str(relay.password()))
    await expect(tab.page.get_by_role("heading", name="History")).to_be_visible()
    assert tab.faults == []
    await tab.page.close()
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def operator(office: BrowserContext, relay: RelayProcess) -> AsyncIterator[Tab]:
    """Signed in, on a wide screen."""
    tab = Tab(await office.new_page(), relay.http_url).watch()
    yield tab
    await tab.page.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def published(relay: RelayProcess) -> dict[str, Any]:
    """A stored note of hostile content that fifteen people like."""
    now = int(time.time())
    note = sign_event(secret(AUTHOR), content=HOSTILE, tags=[["t", "seen"]], created_at=now - 5)
    likes = [
        sign_event(secret(number), kind=7, content="+", tags=[["e", note["id"]]], created_at=now - 4)
        for number in range(20, 35)
    ]
    await publish(relay, note, *likes)
    return note


async def drawn(chart: Locator) -> None:
    """Wait until a chart is drawn."""
    await expect(chart).to_have_attribute("aria-label", re.compile("now|no data"))


async def test_the_first_sign_in_leads_to_the_dashboard(operator: Tab) -> None:
    await operator.open("/admin/")

    await expect(operator.page.locator("[data-summary]")).to_have_text("Healthy")
    await expect(operator.page.locator('[data-figure="workers"]')).to_have_text("2")
    for chart in await operator.page.locator("canvas[data-chart]").all():
        await drawn(chart)
    assert operator.faults == []


async def test_the_dashboard_moves_while_a_client_publishes(operator: Tab, relay: RelayProcess) -> None:
    await operator.open("/admin/")
    position = operator.page.locator('[data-figure="position"]')
    await expect(position).to_have_text(re.compile("[0-9]"))
    moved = 0
    for number in range(3):  # once in time is enough: others work on this machine too
        before = await position.inner_text()
        await publish(relay, sign_event(secret(7), content=f"moves {number}", created_at=int(time.time())))
        try:
            await expect(position).not_to_have_text(before, timeout=LIVE_MS)
            moved += 1
            break
        except AssertionError:
            await expect(position).not_to_have_text(before)

    assert moved
    assert operator.faults == []


async def test_a_popular_note_is_ranked_after_a_refresh(operator: Tab, published: dict[str, Any]) -> None:
    page = operator.page
    note = page.locator("td.field-note", has_text="<b>seen</b> by the operator")
    for _ in range(20):
        await operator.open("/admin/django_celery_beat/periodictask/?q=roll-up")
        await page.locator("input[name=_selected_action]").check()
        await page.select_option("select[name=action]", "run_selected")
        await page.get_by_role("button", name="Run").click()
        await expect(page.get_by_text("1 run requested")).to_be_visible()
        await operator.open("/admin/analytics/popularevent/")
        await page.get_by_role("button", name="Refresh now").click()
        await expect(page.get_by_text("Refresh requested")).to_be_visible()
        await page.wait_for_timeout(500)
        await page.reload()
        if await note.count():
            break

    await expect(note).to_have_count(1)
    await expect(page.locator("td.field-people")).to_have_text("15")
    await page.get_by_role("link", name="<b>seen</b> by the operator").click()
    await page.wait_for_url(f"**/relay/event/{published['id']}/change/")
    await expect(page.get_by_role("row", name="Reactions")).to_contain_text("15")
    assert operator.faults == []


@pytest.mark.parametrize("form", ["npub", "note"])
async def test_an_event_is_found_by_what_people_paste(operator: Tab, published: dict[str, Any], form: str) -> None:
    key = pubkey_of(secret(AUTHOR)) if form == "npub" else published["id"]
    await operator.open("/admin/relay/event/")
    await operator.page.fill("#searchbar", encode(form, bytes.fromhex(key)))
    await operator.page.keyboard.press("Enter")

    await operator.page.wait_for_url(f"**q={form}1**")
    await expect(operator.page.locator("td.field-excerpt")).to_contain_text(["<b>seen</b> by the operator"])
    assert operator.faults == []


async def test_a_note_that_is_a_script_is_text_and_its_tags_lead_on(operator: Tab, published: dict[str, Any]) -> None:
    await operator.open(f"/admin/relay/event/{published['id']}/change/")
    await expect(operator.page.locator(".relay-block").first).to_have_text(HOSTILE.replace("\u202e", "⟨U+202E⟩"))
    assert "taken" not in await operator.page.title()

    await operator.page.get_by_role("link", name="seen", exact=True).click()

    await expect(operator.page.locator("#searchbar")).to_have_value('t:"seen"')
    await expect(operator.page.locator("td.field-excerpt").first).to_contain_text("<script>document.title='taken'")
    assert "taken" not in await operator.page.title()
    assert operator.faults == []


async def test_the_filters_open_by_keyboard_and_narrow_the_list(operator: Tab, published: dict[str, Any]) -> None:
    await operator.open("/admin/relay/event/")
    await operator.page.locator("[x-on\\:click='filterOpen = true']").focus()
    await operator.page.keyboard.press("Enter")
    await operator.page.get_by_label("Kind, for example 1").fill("30023")
    await operator.page.get_by_role("button", name="Apply Filters").click()

    await operator.page.wait_for_url("**kind=30023**")
    await expect(operator.page.get_by_text("<b>seen</b> by the operator")).to_have_count(0)
    assert operator.faults == []


async def test_clearing_a_cache_is_asked_and_noted(operator: Tab) -> None:
    page = operator.page
    await operator.open("/admin/analytics/cache/")
    await drawn(page.locator("canvas[data-chart]"))
    await page.get_by_role("link", name="Clear L1 …").click()
    await expect(page.get_by_text("Every instance clears all caches of L1.")).to_be_visible()
    await page.get_by_role("button", name="Clear").click()

    await expect(page.get_by_text("Cleared all caches of L1")).to_be_visible()
    await operator.open("/admin/admin/logentry/")
    await expect(page.locator("tr", has_text="all caches of L1").first).to_contain_text("Cleared")
    assert operator.faults == []


async def test_an_address_that_guesses_is_locked_out(new_tab: NewTab, relay: RelayProcess, operator: Tab) -> None:
    guesser = await new_tab(extra_http_headers={"X-Forwarded-For": "203.0.113.9"})
    for _ in range(2):
        await sign_in(guesser, "a wrong password")
    await expect(guesser.page.get_by_role("heading", name="Locked out")).to_be_visible()
    await sign_in(guesser, str(relay.password()))
    await expect(guesser.page.get_by_text("Try again in 15 minutes")).to_be_visible()

    await operator.open("/admin/axes/accessattempt/")
    await expect(operator.page.locator("td.field-address")).to_have_text("203.0.113.9")
    assert [fault for fault in guesser.faults if "429" not in fault] == operator.faults == []


async def test_the_dashboard_is_used_by_keyboard_alone(operator: Tab) -> None:
    page = operator.page
    await operator.open("/admin/")
    day = page.get_by_role("button", name="Day")
    await drawn(page.locator("canvas[data-chart]").first)
    for _ in range(60):
        await page.keyboard.press("Tab")
        if await day.evaluate("element => element === document.activeElement"):
            break
    await page.keyboard.press("Enter")

    await expect(day).to_have_attribute("aria-pressed", "true")
    await expect(page.get_by_role("button", name="Hour")).to_have_attribute("aria-pressed", "false")
    await page.keyboard.press("Tab")  # month
    reached = []
    for _ in range(30):
        await page.keyboard.press("Tab")
        reached.append(await page.evaluate("document.activeElement.getAttribute('aria-label') || ''"))
    assert {"Workers", "Jobs", "Layers"} <= set(reached)
    assert operator.faults == []


async def test_no_page_violates_the_policy(operator: Tab, published: dict[str, Any]) -> None:
    for path in PAGES:
        await operator.open(path)
        assert await operator.page.locator("script:not([src]):not([type])").count() == 0, path
        assert operator.faults == [], path


EVERY_PAGE = (
    "/admin/",
    "/admin/relay/event/",
    "/admin/relay/event/?q=kind:30023",
    "/admin/relay/tag/",
    "/admin/relay/change/",
    "/admin/analytics/popularevent/",
    "/admin/analytics/trendinghashtag/",
    "/admin/analytics/activeauthor/",
    "/admin/analytics/reportedtarget/",
    "/admin/analytics/storegrowth/",
    "/admin/analytics/cache/",
    "/admin/analytics/cache/clear/",
    "/admin/django_celery_beat/periodictask/",
    "/admin/django_celery_beat/periodictask/1/change/",
    "/admin/analytics/jobrun/",
    "/admin/analytics/setting/",
    "/admin/analytics/slowquery/",
    "/admin/analytics/storetable/",
    "/admin/auth/user/",
    "/admin/auth/user/1/change/",
    "/admin/auth/group/",
    "/admin/auth/group/1/change/",
    "/admin/axes/accesslog/",
    "/admin/axes/accessattempt/",
    "/admin/admin/logentry/",
)

LABELS = """() => [...document.querySelectorAll(".result-list :is(td, th)")].map(
    (cell) => getComputedStyle(cell, "::before").content + cell.textContent)"""

UNNAMED = """() => [...document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href]")]
    .filter((e) => e.checkVisibility() && !e.closest(".selector") && !(
        e.labels?.length || e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.title || e.value
        || e.textContent.trim() || e.querySelector("img[alt]:not([alt=''])")))
    .map((e) => e.outerHTML.slice(0, 150))"""
"""Controls without a name for a screen reader; Django's own script labels those of its selectors."""


@pytest.mark.parametrize("viewport", [DESKTOP, HANDHELD], ids=["desktop", "phone"])
async def test_every_page_fits_and_labels_its_cells_and_controls(
    operator: Tab, published: dict[str, Any], viewport: ViewportSize
) -> None:
    page = operator.page
    await page.set_viewport_size(viewport)
    for path in (*EVERY_PAGE, f"/admin/relay/event/{published['id']}/change/"):
        await operator.open(path)
        assert await operator.width() == viewport["width"], path
        assert [text for text in await page.evaluate(LABELS) if "select record" in text.lower()] == [], path
        assert await page.evaluate(UNNAMED) == [], path
    assert operator.faults == []


async def test_a_page_of_job_runs_is_short_on_a_phone(operator: Tab) -> None:
    await operator.page.set_viewport_size(HANDHELD)
    await operator.open("/admin/analytics/jobrun/")

    assert await operator.page.evaluate("document.documentElement.scrollHeight") < 5_000


AXES = """() => [...document.querySelectorAll("canvas[data-chart]")].map((canvas) => {
    const { scales } = Chart.getChart(canvas);
    return [canvas.dataset.chart, canvas.dataset.unit, Object.keys(scales).sort().join(), ["x", "y"].map((axis) =>
        scales[axis].ticks.map((tick) => tick.label).filter(Boolean))];
})"""


@pytest.mark.parametrize("viewport", [DESKTOP, HANDHELD], ids=["desktop", "phone"])
async def test_a_chart_has_one_axis_in_one_unit_and_no_label_twice(operator: Tab, viewport: ViewportSize) -> None:
    page = operator.page
    await page.set_viewport_size(viewport)
    await operator.open("/admin/")
    for period in ("Hour", "Day", "Month"):
        await page.get_by_role("button", name=period).click()
        await drawn(page.locator("canvas[data-chart]").last)
        charts = await page.evaluate(AXES)
        assert len(charts) == 12
        for name, unit, axes, (times, values) in charts:
            assert (bool(unit), axes) == (True, "x,y"), name
            assert len(set(times)) == len(times) <= 6, (name, period, times)
            assert len(set(values)) == len(values), (name, period, values)
    assert operator.faults == []


@pytest.mark.parametrize("width", [390, 620, 800, 1024, 1280, 1680])
async def test_the_last_row_of_cards_is_full(operator: Tab, width: int) -> None:
    await operator.page.set_viewport_size({"width": width, "height": 860})
    await operator.open("/admin/")

    tops = await operator.page.evaluate(
        "[...document.querySelectorAll('.dash-card')].map((card) => card.getBoundingClientRect().top)"
    )
    rows = [tops.count(top) for top in sorted(set(tops))]
    assert len(set(rows)) == 1, rows


async def test_an_id_is_copied(operator: Tab, published: dict[str, Any]) -> None:
    await operator.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await operator.open(f"/admin/relay/event/{published['id']}/change/")
    await operator.page.get_by_role("button", name="Copy note in hex").click()

    await expect(operator.page.locator(f'[data-copy="{published["id"]}"]')).to_have_text("Copied")
    assert await operator.page.evaluate("navigator.clipboard.readText()") == published["id"]
    await operator.page.get_by_role("button", name="Copy JSON").click()
    await expect(operator.page.locator(".relay-copy", has_text="Copied").last).to_be_visible()
    copied = await operator.page.evaluate("navigator.clipboard.readText()")
    assert json.loads(copied) == published
    assert operator.faults == []


async def test_the_public_page_counts_what_is_stored(operator: Tab, relay: RelayProcess) -> None:
    await publish(
        relay, *[sign_event(secret(8), kind=0, content=str(n), created_at=1_700_000_000 + n) for n in range(5)]
    )
    await operator.open("/admin/")
    shown = operator.page.locator('[data-figure="events"]')
    await expect(shown).to_have_text(re.compile("[0-9]"))
    in_admin = await shown.inner_text()
    await operator.open("/")

    await expect(operator.page.locator('[data-figure="events"]')).to_have_text(in_admin)


@pytest.mark.parametrize(
    "viewport, scheme",
    [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")],
    ids=["desktop light", "desktop dark", "phone light", "phone dark"],
)
async def test_pages_fit_the_screen(
    operator: Tab, published: dict[str, Any], viewport: ViewportSize, scheme: Literal["light", "dark"]
) -> None:
    await operator.page.set_viewport_size(viewport)
    await operator.page.emulate_media(color_scheme=scheme)
    narrow = [f"/admin/relay/event/{published['id']}/change/", "/admin/analytics/cache/"] if viewport == PHONE else []
    for path in ["/admin/", *narrow]:
        await operator.open(path)
        is_dark = await operator.page.evaluate("document.documentElement.classList.contains('dark')")
        assert (await operator.width(), is_dark) == (viewport["width"], scheme == "dark"), path
    assert operator.faults == []
