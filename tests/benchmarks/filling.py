"""A data folder with a filled store: servers for as long as it takes, and the writing function with many events."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django
import django.apps
import django.db

from tests.benchmarks.crowd import Crowd, Maker

BATCH = 1_000


@contextmanager
def servers(folder: Path) -> Iterator[None]:
    """PostgreSQL and Valkey on the folder, with Django set up on them and the tables made."""
    from relayproject.runtime.datafolder import DataFolder
    from relayproject.runtime.embedded_servers import EmbeddedServers

    data = DataFolder(folder)
    data.take()
    services = EmbeddedServers(data, postgres=True, valkey=True)
    services.start()
    try:
        os.environ.update(services.addresses, RELAY_DATA_DIR=str(folder), SECRET_KEY="for benchmarks alone" * 4)
        os.environ["DJANGO_SETTINGS_MODULE"] = "relayproject.settings"
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        yield
    finally:
        if django.apps.apps.ready:
            django.db.connections.close_all()  # the next servers may have the same address
        services.stop()
        data.release()


async def fill(maker: Maker, tell: Callable[[int], None]) -> Crowd:
    """Write all events of the maker; `tell` gets how many are there."""
    from relay.protocol.event import Event, StoredEvent
    from relay.storage.batch import WRITE, Entry, columns
    from relay.storage.channel import Channel
    from relay.storage.database import connect
    from relay.storage.request import Row

    channel = Channel(await connect(application="benchmark", statement_seconds=60, synchronous_commit="off"))
    under_way: asyncio.Future[list[Row]] | None = None
    for start in range(0, maker.count, BATCH):
        made = [maker.event(number) for number in range(start, min(maker.count, start + BATCH))]
        entries = [Entry(StoredEvent.of(Event(**event)), "" if event["kind"] == 0 else None) for event in made]
        parameters = columns(entries, "")
        if under_way is not None:
            await under_way
        under_way = channel.send(WRITE, parameters).future  # PostgreSQL writes while the next ones are made
        await asyncio.sleep(0)
        tell(start + len(made))
    if under_way is not None:
        await under_way
    await channel.send(b"VACUUM ANALYZE", ()).future
    channel.close("filled")
    return maker.finished()
