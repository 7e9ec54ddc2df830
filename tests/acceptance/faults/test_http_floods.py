"""Floods of HTTP: PostgreSQL keeps connections for the relay, and its clients are served meanwhile."""

import asyncio
import urllib.parse
from collections.abc import Iterator

import psycopg
import pytest

from tests.acceptance.client import Client
from tests.acceptance.conftest import CopyOfMigrated, StartRelay
from tests.acceptance.relay_process import START_SECONDS, RelayProcess, wait_for

COOKIE = "Cookie: sessionid={:032x}\r\n"


async def ask(port: int, head: str, address: str = "127.0.0.1", host: str = "127.0.0.1") -> int:
    """The status of the answer; 0 when the server closes without one."""
    reader, writer = await asyncio.open_connection(host, port, local_addr=(address, 0) if host == "127.0.0.1" else None)
    try:
        writer.write(f"{head}\r\n".encode())
        async with asyncio.timeout(60):
            line = await reader.readline()
        return int(line.split()[1]) if line else 0
    except ConnectionError:
        return 0
    finally:
        writer.transport.abort()


def get(path: str, more: str = "") -> str:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{more}"


def sign_in(password: str, token: str) -> str:
    form = urllib.parse.urlencode({"username": "admin", "password": password, "csrfmiddlewaretoken": token})
    kind = "application/x-www-form-urlencoded"
    return (
        f"POST /admin/login/ HTTP/1.1\r\nHost: a\r\nCookie: csrftoken={token}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(form)}\r\n\r\n{form}"
    )


async def test_a_flood_of_session_cookies_leaves_the_database_to_the_relay(start_relay: StartRelay) -> None:
    relay = start_relay({"RELAY_DJANGO_THREADS": "3"}, workers=1)
    flood = [
        asyncio.create_task(ask(relay.port, get("/admin/", COOKIE.format(number)), f"127.0.0.{2 + number % 50}"))
        for number in range(300)
    ]
    async with Client(relay.ws_url) as client:
        assert (await client.query({"limit": 1})).closed is None
    for path in ("/health", "/ready", "/"):
        assert (await asyncio.to_thread(relay.get, path))[0] == 200
    with psycopg.connect(relay.services()["DATABASE_URL"]) as database:
        used = database.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        ).fetchone()
    assert used is not None
    assert used[0] <= 4 + 3 + 3 + 7  # docs/settings.md, connections to PostgreSQL
    statuses = await asyncio.gather(*flood)
    assert set(statuses) <= {302, 503}
    assert statuses.count(302) >= 3


async def test_bodies_that_do_not_come_leave_the_pages_to_others(start_relay: StartRelay) -> None:
    relay = start_relay({"RELAY_DJANGO_THREADS": "2"}, workers=1)
    slow = []
    for _ in range(12):
        slow.append(await asyncio.open_connection("127.0.0.1", relay.port, local_addr=("127.0.0.2", 0)))
        slow[-1][1].write(f"{get('/admin/login/')}Content-Length: 9\r\n\r\n".encode())
    async with asyncio.timeout(4):  # the wait for a thread is 5 s, the time of a body 10 s
        assert await ask(relay.port, get("/admin/login/"), "127.0.0.3") == 200
    async with asyncio.timeout(60):
        assert {(await reader.readline()).split()[1] for reader, _ in slow} == {b"408"}
    for _, writer in slow:
        writer.transport.abort()


@pytest.fixture(scope="module")
def of_both_families(copy_of_migrated: CopyOfMigrated) -> Iterator[RelayProcess]:
    """For 20 clients, of IPv6 and IPv4."""
    settings = {"RELAY_HOST": "::", "RELAY_MAX_CONNECTIONS": "20"}
    relay = RelayProcess(copy_of_migrated("families"), roles="web", settings=settings)
    try:
        relay.launch()
        printed = f"relay ready: ws://[::1]:{relay.port}\n"
        wait_for(lambda: printed in relay.output() or relay.has_ended(), "ready", START_SECONDS)
        assert not relay.has_ended(), relay.messages()
        yield relay
    finally:
        relay.destroy()


async def test_a_relay_of_both_families_is_reached_by_either(of_both_families: RelayProcess) -> None:
    for address in ("::1", "127.0.0.1"):
        assert await ask(of_both_families.port, get("/health"), host=address) == 200


async def test_half_requests_do_not_keep_others_out(of_both_families: RelayProcess) -> None:
    halves = []
    for _ in range(320):
        halves.append(await asyncio.open_connection("127.0.0.1", of_both_families.port))
        halves[-1][1].write(b"GET / HT")
    async with Client(of_both_families.ws_url) as client:
        assert (await client.query({"limit": 1})).closed is None
    for _, writer in halves:
        writer.transport.abort()
    assert of_both_families.messages().count("connections were refused or cut") == 1


async def test_sign_ins_at_once_over_two_workers_do_not_pass_the_limit(start_relay: StartRelay) -> None:
    relay = start_relay({"RELAY_LOGIN_FAILURES": "3"}, workers=2)
    token = "t" * 32
    statuses = await asyncio.gather(*(ask(relay.port, sign_in(f"wrong {number}", token)) for number in range(40)))

    assert set(statuses) <= {200, 429, 503}
    assert statuses.count(200) == 2  # the third failure is told of the lock-out
    right = (relay.data_dir / "first_password").read_text().strip()
    assert await ask(relay.port, sign_in(right, token)) == 429
