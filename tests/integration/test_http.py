"""What the relay answers over HTTP, asked through its ASGI application, with real PostgreSQL and Valkey behind it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from pytest_django import Settings

from relay import conf
from relay.protocol.errors import Failed
from relay.services import process, readiness, status
from relay.services.runtime import Relay
from relay.services.status import Status, WorkerFigures
from relay.storage.store import Store
from relay.views import information
from relay.views.public import PublicViews
from tests.events import unsigned_event
from tests.integration.storage.conftest import database, scribe, tables  # noqa: F401
from tests.integration.storage.scribe import Scribe

pytestmark = pytest.mark.django_db

NOSTR = "application/nostr+json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
UNREACHABLE_URL = "redis://127.0.0.1:1"


@dataclass
class Answer:
    """Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def ask(path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    """One request to the application, as a server would hand it over."""
    given = {"host": "relay.test"} | {name.lower(): value for name, value in (headers or {}).items()}
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }
    sent: list[Any] = []
    arriving = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if arriving:
            return arriving.pop()
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        sent.append(message)

    await PublicViews(get_asgi_application())(scope, receive, send)
    start, *parts = sent
    told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], told, b"".join(part["body"] for part in parts))


@pytest.fixture(autouse=True)
def _fresh_settings() -> Any:
    """The process reads its settings once; a test's own must not outlive it."""
    conf.config.cache_clear()
    yield
    conf.config.cache_clear()


@pytest.fixture(autouse=True)
async def _none_is_left_behind() -> AsyncIterator[None]:
    """/ready starts a relay in the background, which may be there before the test has ended, or after."""
    yield
    for task in [task for task in asyncio.all_tasks() if task.get_name() == "relay start"]:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await process.stop()


@pytest.fixture
async def relay(tables: Any) -> AsyncIterator[Relay]:  # noqa: F811
    """The relay of this process."""
    yield await process.start()
    await process.stop()


# -- The information document ------------------------------------------------------------------------


@pytest.mark.parametrize("accept", [NOSTR, "text/html, Application/NOSTR+json;q=0.3"])
async def test_11_1_a_client_that_accepts_it_gets_the_document(accept: str) -> None:
    answer = await ask("/", headers={"Accept": accept})

    assert (answer.status, answer.headers["content-type"]) == (200, NOSTR)
    assert answer.json()["supported_nips"] == [1, 4, 9, 11, 17, 40, 42, 59, 62, 67, 70]


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
async def test_11_2_pages_of_other_sites_may_read_it(method: str) -> None:
    answer = await ask("/", method=method, headers={"Accept": NOSTR, "Origin": "https://client.example"})

    assert answer.status == (200 if method == "GET" else 204)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "*" in answer.headers["access-control-allow-headers"]
    assert "GET" in answer.headers["access-control-allow-methods"]


async def test_11_3_it_says_what_the_operator_has_set_and_nothing_else(settings: Settings) -> None:
    settings.RELAY_NAME, settings.RELAY_CONTACT, settings.RELAY_SELF = "Tern", "mailto:op@tern.example", "ab" * 32

    document = (await ask("/", headers={"Accept": NOSTR})).json()

    assert (document["name"], document["contact"], document["self"]) == ("Tern", "mailto:op@tern.example", "ab" * 32)
    assert document["software"].startswith("https://")
    assert "icon" not in document


async def test_11_4_it_publishes_the_limits_of_the_settings(settings: Settings) -> None:
    settings.RELAY_MAX_SUBSCRIPTIONS = 17

    assert (await ask("/", headers={"Accept": NOSTR})).json()["limitation"]["max_subscriptions"] == 17


async def test_11_5_nothing_is_charged() -> None:
    document = (await ask("/", headers={"Accept": NOSTR})).json()

    assert not {"payments_url", "fees"} & document.keys()
    assert document["limitation"]["payment_required"] is False


async def test_11_6_removed_fields_are_not_in_it() -> None:
    document = (await ask("/", headers={"Accept": NOSTR})).json()

    assert not {"retention", "max_filters"} & (document.keys() | document["limitation"].keys())


async def test_11_7_supported_nips_follow_what_is_switched_on(monkeypatch: pytest.MonkeyPatch) -> None:
    switched = ((50, lambda _conf: False), (1, lambda _conf: True), (11, lambda _conf: True))
    monkeypatch.setattr(information, "FEATURES", switched)

    assert (await ask("/", headers={"Accept": NOSTR})).json()["supported_nips"] == [1, 11]


@pytest.mark.parametrize("headers", [{}, {"Accept": BROWSER}, {"Accept": f"{NOSTR};q=0"}])
async def test_11_7_any_other_client_gets_the_page(headers: dict[str, str], settings: Settings) -> None:
    settings.RELAY_NAME = "Tern & <b>Gull</b>"

    answer = await ask("/", headers=headers)

    assert answer.headers["content-type"].startswith("text/html")
    assert b"Tern &amp; &lt;b&gt;Gull&lt;/b&gt;" in answer.body


async def test_11_8_a_client_that_has_the_document_is_told_so() -> None:
    first = await ask("/", headers={"Accept": NOSTR})
    again = await ask("/", headers={"Accept": NOSTR, "If-None-Match": first.headers["etag"]})

    assert "max-age=60" in first.headers["cache-control"]
    assert (again.status, again.body) == (304, b"")
    assert again.headers["access-control-allow-origin"] == "*"


async def test_11_8_a_cache_keeps_document_and_page_apart() -> None:
    document, page = await ask("/", headers={"Accept": NOSTR}), await ask("/", headers={"Accept": BROWSER})

    assert document.headers["vary"] == page.headers["vary"] == "Accept"
    assert document.headers["etag"] != page.headers["etag"]


@pytest.mark.parametrize("accept", [NOSTR, BROWSER])
async def test_head_has_the_headers_alone(accept: str) -> None:
    whole = await ask("/", headers={"Accept": accept})
    head = await ask("/", method="HEAD", headers={"Accept": accept})

    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))


async def test_another_method_is_refused() -> None:
    answer = await ask("/", method="DELETE")

    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


# -- Security headers --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/health", "/nothing-here", "/static/relay/front.css", "/admin/login/"])
async def test_every_answer_says_what_it_may_load(path: str) -> None:
    headers = (await ask(path)).headers

    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


async def test_the_page_has_no_inline_script_or_style() -> None:
    body = (await ask("/")).body

    assert b"<style" not in body
    assert b"style=" not in body
    assert body.count(b"<script") == body.count(b'<script type="module" src=') == 1


async def test_a_host_that_is_not_allowed_gets_the_document_but_no_page(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["relay.example"]

    assert (await ask("/")).status == 400
    assert (await ask("/", headers={"Accept": NOSTR})).status == 200


async def test_a_missing_page_leads_to_the_front_door() -> None:
    answer = await ask("/nothing-here")

    assert answer.status == 404
    assert b'href="/"' in answer.body


# -- Health ------------------------------------------------------------------------------------------


async def test_a_process_is_alive_whether_its_relay_is_started_or_not() -> None:
    answer = await ask("/health")

    assert process.current() is None
    assert (answer.status, answer.body) == (200, b"ok\n")


async def test_ready_starts_a_relay_that_no_lifespan_has_started(tables: Any) -> None:  # noqa: F811
    try:
        async with asyncio.timeout(5):
            while (answer := await ask("/ready")).status != 200:
                await asyncio.sleep(0.02)

        assert answer.json()["ready"] is True
        assert process.current() is not None
    finally:
        await process.stop()


async def test_ready_names_what_is_not_well(relay: Relay) -> None:
    relay.ready = False

    answer = await ask("/ready")

    assert answer.status == 503
    assert answer.json() == {"ready": False, "reason": "the relay is not ready"}
    assert answer.headers["retry-after"] == "1"


async def test_ready_lists_what_is_degraded(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await ask("/ready")).json() == {"ready": True, "degraded": readiness.degraded(relay)}
    monkeypatch.setattr(readiness, "degraded", lambda _relay: ["the bus is down"])

    answer = await ask("/ready")

    assert answer.status == 200
    assert answer.json() == {"ready": True, "degraded": ["the bus is down"]}


async def test_a_worker_that_a_flood_has_put_behind_the_log_stays_ready(relay: Relay) -> None:
    relay.follower.newest += readiness.MANY_CHANGES + 1

    answer = await ask("/ready")

    assert answer.status == 200
    assert "10001 changes behind the log" in " ".join(answer.json()["degraded"])


# -- Figures -----------------------------------------------------------------------------------------


def published(url: str, *, connections: int = 1, events: int | None = None) -> Status:
    def own() -> WorkerFigures:
        return WorkerFigures(connections, 0, 0, 0.0, 7, 1.0)

    async def count() -> int:
        if events is None:
            raise Failed("the database cannot answer now")
        return events

    return Status(url, "test", own, count, lambda: Store("figures of tests", "", 1))


@contextlib.asynccontextmanager
async def publishing(*statuses: Status) -> AsyncIterator[None]:
    for one in statuses:
        one.start()
    try:
        yield
    finally:
        await asyncio.gather(*[one.stop() for one in statuses])


async def eventually(one: Status, workers: int) -> Any:
    """The figures, once they count so many workers."""
    async with asyncio.timeout(8):
        while (figures := await one.figures()).workers != workers:
            await asyncio.sleep(0.05)
    return figures


async def test_status_shows_the_relays_figures(relay: Relay, scribe: Scribe) -> None:  # noqa: F811
    await scribe.write(*[unsigned_event(content=str(number)) for number in range(3)])
    async with asyncio.timeout(5):
        while (figures := (await ask("/api/status")).json())["position"] < 3:
            await asyncio.sleep(0.1)

    assert (figures["workers"], figures["connections"], figures["whole"]) == (1, 0, True)
    assert figures["events"] == 3
    assert figures["uptime_seconds"] >= 0


async def test_figures_add_up_over_workers_and_lose_one_that_stops(settings: Settings) -> None:
    one, other = published(settings.CACHE_URL, connections=2), published(settings.CACHE_URL, connections=3)
    async with publishing(one):
        async with publishing(other):
            assert (await eventually(one, 2)).connections == 5
        assert (await eventually(one, 1)).connections == 2


async def test_a_worker_that_dies_without_a_word_is_forgotten(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "LIFE_SECONDS", 2)
    one, dead = published(settings.CACHE_URL), published(settings.CACHE_URL)
    async with publishing(one):
        dead.start()
        await eventually(one, 2)
        dead._stopping.set()

        await eventually(one, 1)


async def test_without_the_cache_a_process_shows_its_own_figures() -> None:
    one = published(UNREACHABLE_URL, connections=4)
    async with publishing(one):
        figures = await one.figures()

    assert (figures.connections, figures.workers, figures.whole) == (4, 1, False)
    assert one.failures > 0


async def test_figures_asked_for_together_are_read_once(settings: Settings) -> None:
    one = published(settings.CACHE_URL)
    async with publishing(one):
        first, *others = await asyncio.gather(*[one.figures() for _ in range(50)])

    assert all(other is first for other in others)


@pytest.mark.parametrize("events", [40, None])
async def test_events_are_counted_or_unknown(settings: Settings, events: int | None) -> None:
    one = published(settings.CACHE_URL, events=events)
    async with publishing(one):
        assert (await one.figures()).events == events
