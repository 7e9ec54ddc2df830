"""`GET /api/route`, and what front page and NIP-11 document say of a nearer region."""

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from relay.conf import config
from relay.metrics import counters
from relay.services import process
from relay.views.front import front
from relay.views.nearer import Regions
from relay.views.public import PUBLIC_VIEWS
from replication.geo import routing as module
from replication.geo.choice import Region
from replication.geo.database import GeoDatabase
from replication.geo.install import begin, install
from replication.geo.routing import Routing, with_load
from replication.geo.sphere import Place
from replication.geo.view import route
from tests.mmdb import record, write_mmdb

IN_OSAKA, IN_PARIS, NOWHERE = "81.2.69.142", "81.2.70.1", "10.0.0.1"
TOKYO = Region("tokyo", ("wss://nrt.example.com/", "wss://nrt2.example.com"), Place(35.68, 139.69), heard_at=0)
FRANKFURT = Region("frankfurt", ("wss://fra.example.com",), Place(50.11, 8.68), is_local=True)
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def routing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Routing:
    networks = {"81.2.69.0/24": record(34.7, 135.5, "Osaka", "JP"), "81.2.70.0/24": record(48.9, 2.4, "Paris", "FR")}
    database = GeoDatabase([write_mmdb(tmp_path / "city.mmdb", networks)])
    database.refresh()
    found = Routing(database, default="")
    found.regions = [FRANKFURT, tokyo()]
    monkeypatch.setattr(counters, "routes", Counter())
    monkeypatch.setattr(counters, "geoip_lookups", Counter())
    module.routing.cache_clear()
    monkeypatch.setattr(module, "routing", lambda: found)
    monkeypatch.setattr("replication.geo.view.routing", lambda: found)
    monkeypatch.setattr("relay.views.nearer.regions.exist", lambda: found.knows_places)
    monkeypatch.setattr("relay.views.nearer.regions.nearer", found.nearer)
    return found


def tokyo() -> Region:
    return Region(TOKYO.name, TOKYO.relay_urls, TOKYO.place, heard_at=time.time())


async def asked(address: str, accept: str = "*/*", view: Any = route, **more: Any) -> HttpResponse:
    request = RequestFactory().get("/api/route", REMOTE_ADDR=address, headers={"Accept": accept}, **more)
    response: HttpResponse = await view(request)
    return response


async def test_a_client_is_told_the_nearest_region_and_why(routing: Routing) -> None:
    response = await asked(IN_OSAKA)
    assert response.status_code == 200
    assert json.loads(response.content) == {
        "region": "tokyo",
        "local": False,
        "distance_km": 396,
        "relays": ["wss://nrt.example.com/", "wss://nrt2.example.com"],
        "reason": "nearest",
    }


async def test_a_client_near_this_region_is_told_this_one(routing: Routing) -> None:
    found = json.loads((await asked(IN_PARIS)).content)
    assert (found["region"], found["local"], found["reason"]) == ("frankfurt", True, "nearest")


async def test_a_client_at_an_unknown_place_is_told_this_one(routing: Routing) -> None:
    found = json.loads((await asked(NOWHERE)).content)
    assert (found["region"], found["distance_km"], found["reason"]) == ("frankfurt", None, "local")


async def test_without_regions_the_relay_answers_with_itself(routing: Routing) -> None:
    routing.regions = ()
    found = json.loads((await asked(IN_OSAKA)).content)
    assert found == {"region": None, "local": True, "distance_km": None, "relays": [config().url], "reason": "alone"}
    assert counters.geoip_lookups == {}


async def test_a_browser_is_sent_to_the_page_of_the_nearest_region(routing: Routing) -> None:
    response = await asked(IN_OSAKA, BROWSER)
    assert (response.status_code, response["Location"]) == (307, "https://nrt.example.com/")


@pytest.mark.parametrize("address", [IN_PARIS, NOWHERE, ""])
async def test_a_browser_is_never_sent_to_the_region_that_it_asks(routing: Routing, address: str) -> None:
    response = await asked(address, BROWSER)
    assert (response.status_code, response.has_header("Location")) == (200, False)


@pytest.mark.parametrize("accept", ["*/*", BROWSER], ids=["api", "browser"])
async def test_no_shared_cache_keeps_an_answer_and_any_page_may_ask(routing: Routing, accept: str) -> None:
    response = await asked(IN_OSAKA, accept)
    assert response["Cache-Control"].startswith("private")
    assert response["Vary"] == "Accept"
    assert response["Access-Control-Allow-Origin"] == "*"


async def test_the_address_of_a_header_is_not_taken_from_a_client(routing: Routing) -> None:
    """The server has put that of a trusted proxy into the connection's address already."""
    response = await asked(IN_PARIS, HTTP_X_FORWARDED_FOR=IN_OSAKA, HTTP_X_REAL_IP=IN_OSAKA)
    assert json.loads(response.content)["region"] == "frankfurt"


async def test_a_client_cannot_ask_for_another_address(routing: Routing) -> None:
    response = await asked(IN_PARIS, QUERY_STRING=f"address={IN_OSAKA}")
    assert response.status_code == 400


async def test_decisions_are_counted_by_reason_and_region(routing: Routing) -> None:
    for address in (IN_OSAKA, IN_OSAKA, IN_PARIS, NOWHERE):
        await asked(address)
    assert counters.routes == {"nearest/tokyo": 2, "nearest/frankfurt": 1, "local/frankfurt": 1}
    assert counters.geoip_lookups == {"found": 3, "unknown": 1}


async def test_another_method_is_refused_and_a_preflight_answered(routing: Routing) -> None:
    assert (await route(RequestFactory().post("/api/route"))).status_code == 405
    assert (await route(RequestFactory().options("/api/route"))).status_code == 204


def test_the_path_is_served_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "on_start", [])
    monkeypatch.setitem(PUBLIC_VIEWS, "api/route", None)
    monkeypatch.setattr("replication.geo.install.regions", Regions())
    install()
    assert PUBLIC_VIEWS["api/route"] is route
    assert process.on_start == [begin]


async def test_the_front_page_names_a_nearer_region(routing: Routing) -> None:
    page = (await asked(IN_OSAKA, "text/html", front)).content.decode()
    assert '<a href="https://nrt.example.com/">tokyo</a> is nearer to you' in page
    for address in (IN_PARIS, NOWHERE):
        assert "is nearer to you" not in (await asked(address, "text/html", front)).content.decode()


async def test_the_information_document_names_a_nearer_region(routing: Routing) -> None:
    near = await asked(IN_OSAKA, "application/nostr+json", front)
    far = await asked(IN_PARIS, "application/nostr+json", front)
    assert json.loads(near.content)["nearer_region"] == {"name": "tokyo", "relays": list(TOKYO.relay_urls)}
    assert "nearer_region" not in json.loads(far.content)
    assert near["ETag"] != far["ETag"]
    assert near["Cache-Control"] == far["Cache-Control"] == "private, max-age=60"


async def test_without_regions_the_information_document_may_be_kept_by_any_cache(routing: Routing) -> None:
    routing.regions = ()
    response = await asked(IN_OSAKA, "application/nostr+json", front)
    assert response["Cache-Control"] == "public, max-age=60"


def test_the_local_region_has_the_load_of_this_relay_and_an_address() -> None:
    bare = with_load(Region("frankfurt", (), is_local=True), 7, 100)
    assert (bare.relay_urls, bare.connections, bare.capacity) == ((config().url,), 7, 100)
    assert with_load(TOKYO, 7, 100) is TOKYO
