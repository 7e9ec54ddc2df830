"""Regions of a running relay: clients are told the nearest one, and an operator sees them on a map, also on a phone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.async_api import ViewportSize, expect

from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment, wait_for
from tests.browser.conftest import DESKTOP, PHONE, NewTab, Tab
from tests.browser.test_admin import office, operator

__all__ = ["office", "operator"]

pytestmark = pytest.mark.asyncio(loop_scope="session")

PICTURES = os.environ.get("TEST_PICTURES", "")
SIZES = pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["wide", "phone"])
IN_OSAKA = {"X-Forwarded-For": "81.2.69.142"}

REGIONS = """
from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from replication.models import *
now = timezone.now()
def peer(name, latitude, longitude, seconds_ago, lag, error="", **health):
    region = Region.objects.create(
        name=name, latitude=latitude, longitude=longitude, relay_urls=[f"wss://{name}.relay.example.com"])
    PeerHealth.objects.create(
        peer=region, last_contact_at=now - timedelta(seconds=seconds_ago), ready=True, capacity=40_000, error=error,
        **health)
    region.lanes.update(  # a holder of the leases, so that no sender of this relay asks the peer, which does not exist
        holder="the test", lease_until=now + timedelta(hours=1), lag_events=lag, lag_seconds=lag / 40,
        events_per_second=212.5, bytes_per_second=140_000, sent_events=1_204_551, state="down" if error else "up",
        last_error=error)
    return region
with transaction.atomic():
    Region.objects.create(name="frankfurt", is_local=True, latitude=50.1, longitude=8.7)
    tokyo = peer("tokyo", 35.7, 139.7, -3_000, 3, latency_ms=221.4, connections=7_401)
    peer("virginia", 39.0, -77.5, 4_000, 48_210, error="timed out")
    Repair.objects.create(peer=tokyo, finished_at=now - timedelta(minutes=12), compared=90_000, received=3, sent=0)
"""


@pytest.fixture(scope="module")
def regions(relay: RelayProcess) -> Iterator[None]:
    """This region is Frankfurt; Tokyo answers, Virginia has not done so for an hour. Both workers know it."""
    _shell(relay, REGIONS)
    wait_for(lambda: all(told(relay, IN_OSAKA)["region"] == "tokyo" for _ in range(40)), "the workers know the regions")
    yield
    _shell(relay, "from replication.models import Region; Region.objects.all().delete()")


def _shell(relay: RelayProcess, text: str) -> None:
    environment = clean_environment({"RELAY_DATA_DIR": str(relay.data_dir)})
    subprocess.run([sys.executable, str(PROJECT / "manage.py"), "shell", "-c", text], env=environment, check=True)


def told(relay: RelayProcess, headers: dict[str, str]) -> dict[str, object]:
    status, text = relay.get("/api/route", headers)
    assert status == 200
    found: dict[str, object] = json.loads(text)
    return found


async def test_a_client_is_told_the_nearest_region_by_the_address_that_a_trusted_proxy_names(
    relay: RelayProcess, regions: None
) -> None:
    assert told(relay, IN_OSAKA)["relays"] == ["wss://tokyo.relay.example.com"]
    assert told(relay, {})["region"] == "frankfurt"


async def test_the_front_page_names_the_nearer_region(new_tab: NewTab, relay: RelayProcess, regions: None) -> None:
    tab = await new_tab(extra_http_headers=IN_OSAKA, viewport=PHONE)
    await tab.open("/")
    link = tab.page.locator("#nearer").get_by_role("link", name="tokyo")
    await expect(link).to_have_attribute("href", "https://tokyo.relay.example.com")
    assert await tab.width() <= PHONE["width"]


@SIZES
async def test_the_map_fits_the_window_and_says_in_words_how_each_region_is(
    operator: Tab, regions: None, size: ViewportSize
) -> None:
    await operator.page.set_viewport_size(size)
    await operator.open("/admin/regions/map/")
    await expect(operator.page.locator(".map-marker")).to_have_count(3)
    virginia = operator.page.locator("#region-3")
    for said in ("virginia", "silent", "timed out"):
        await expect(virginia).to_contain_text(said)
    for scheme in ("light", "dark"):
        await operator.page.evaluate(
            "dark => document.documentElement.classList.toggle('dark', dark)", scheme == "dark"
        )
        if PICTURES:
            await operator.page.screenshot(path=f"{PICTURES}/map-{scheme}-{size['width']}.png", full_page=True)
    assert await operator.width() <= size["width"]
    assert operator.faults == []


async def test_a_marker_leads_to_the_row_of_its_region(operator: Tab, regions: None) -> None:
    await operator.page.set_viewport_size(PHONE)
    await operator.open("/admin/regions/map/")
    await operator.page.locator(".map-marker", has_text="2").get_by_role("link").click()
    await expect(operator.page.locator("tr:target")).to_contain_text("tokyo")
