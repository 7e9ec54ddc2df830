"""An export is the store at one position: the oracle's answer in order, whatever is written meanwhile."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relay.protocol.limits import Limits
from relay.storage import export as storage_export
from relay.storage.export import snapshot
from relay.transfer.exporting import Exported, export, parse_filters
from tests import strategies
from tests.events import NOW, unsigned_event
from tests.integration.storage.scribe import Json, Scribe, Tables
from tests.integration.storage.test_engines import POOL, survivors
from tests.oracle import LOGINS, naive_match, naive_visible

pytestmark = pytest.mark.django_db
LIMITS = Limits(max_limit=2, default_limit=1)


@pytest.fixture(autouse=True)
def now_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.transfer.exporting.time", SimpleNamespace(time=lambda: NOW + 0.5))


def exported(path: Path, wanted: Sequence[Json], *, private: bool = False, newest_first: bool = True) -> list[Json]:
    filters = parse_filters([json.dumps(one) for one in wanted], LIMITS)
    export(filters, str(path), "none", private=private, newest_first=newest_first, quiet=True)
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]]


def oracle(stored: Sequence[Json], wanted: Sequence[Json], *, private: bool) -> list[Json]:
    """Newest first. A backup has private kinds; neither has logins nor what has expired."""

    def visible(event: Json) -> bool:
        return event["kind"] not in LOGINS and naive_visible({**event, "kind": 1} if private else event, NOW)

    rows = sorted(filter(visible, stored), key=lambda event: (-event["created_at"], event["id"]))
    found = {}
    for one in wanted:
        for event in [event for event in rows if naive_match(one, event)][: one.get("limit")]:
            found[event["id"]] = event
    return [event for event in rows if event["id"] in found]


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_an_export_is_the_oracles_answer(data: Any, scribe: Scribe, tables: Tables, tmp_path: Path) -> None:
    tables.clear()
    chosen = data.draw(st.lists(st.sampled_from(POOL), max_size=25, unique_by=lambda event: event["id"]), "events")
    if chosen:
        await scribe.write(*chosen)
    stored = survivors(chosen)
    for _ in range(3):
        wanted = data.draw(strategies.filter_lists([event["id"] for event in chosen[:3]]), "filters")
        private = data.draw(st.booleans(), "private")

        assert exported(tmp_path / "out", wanted, private=private) == oracle(stored, wanted, private=private)


async def test_the_oldest_come_first_unless_told_otherwise(scribe: Scribe, tmp_path: Path) -> None:
    await scribe.write(*POOL[:50])

    newest_first = exported(tmp_path / "out", [{}])

    assert len(newest_first) > 20
    assert exported(tmp_path / "out", [{}], newest_first=False) == newest_first[::-1]


async def test_no_partition_takes_the_place_of_another_once_the_snapshot_of_an_export_has_begun(
    scribe: Scribe, tables: Tables
) -> None:
    await scribe.write(*POOL[:50])
    with snapshot(parse_filters([], LIMITS), NOW, private=True, newest_first=False):
        for table in ("relay_event", "relay_tag"):
            with pytest.raises(psycopg.errors.LockNotAvailable), tables.connection.transaction():
                tables.connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE NOWAIT")


async def test_several_pages_are_one_export(scribe: Scribe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_export, "PAGE_ROWS", 3)
    await scribe.write(*POOL[:50])

    assert exported(tmp_path / "out", [{}]) == oracle(survivors(POOL[:50]), [{}], private=False)


async def test_an_export_holds_no_change_after_its_position(
    scribe: Scribe, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_export, "PAGE_ROWS", 1)
    await scribe.write(*[unsigned_event(content=str(number), created_at=NOW + number) for number in range(5)])
    filters = parse_filters([], LIMITS)

    with snapshot(filters, NOW, private=False, newest_first=False) as found:
        texts = next(found.pages)
        await scribe.write(unsigned_event(content="later", created_at=NOW + 9))
        tables.connection.execute("SELECT relay_remove_events(ARRAY(SELECT id FROM relay_event ORDER BY id LIMIT 2))")
        texts += [text for page in found.pages for text in page]

    assert found.position == 5
    assert [json.loads(text)["content"] for text in texts] == ["0", "1", "2", "3", "4"]


async def test_the_report_tells_the_position_and_the_store(scribe: Scribe, tables: Tables, tmp_path: Path) -> None:
    await scribe.write(unsigned_event(), unsigned_event(kind=4))
    ((identity, epoch),) = tables.rows("SELECT identity, epoch FROM relay_store")

    path = str(tmp_path / "out.gz")
    done = export(parse_filters([], LIMITS), path, "gzip", private=False, newest_first=False, quiet=True)

    assert done == Exported(1, 2, f"{identity}.{epoch}")
    assert gzip.decompress(Path(path).read_bytes()).count(b"\n") == 1
