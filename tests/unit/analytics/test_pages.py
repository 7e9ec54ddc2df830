"""What a request to vanish and retention remove from the roll-up: in pieces, however many events there are."""

from typing import Any

import pytest

from analytics import pages
from analytics.pages import REMOVED_AT_ONCE, Page
from analytics.statements import statement
from relay.changes.change import Purged

KEY = b"k" * 32


class Cursor:
    """Notes what is executed. A cursor on the server, `is_chunked`, gives ids in pieces, and not all at once."""

    def __init__(self, executed: list[tuple[str, Any]], ids: int, *, is_chunked: bool) -> None:
        self._executed = executed
        self._left = ids
        self._is_chunked = is_chunked

    def __enter__(self) -> "Cursor":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def execute(self, text: str, parameters: Any) -> None:
        self._executed.append((text, parameters))

    def fetchmany(self, size: int) -> list[tuple[memoryview]]:
        assert self._is_chunked, "the whole result is in memory already"
        number = min(size, self._left)
        self._left -= number
        return [(memoryview(b"%032d" % place),) for place in range(number)]


class Connection:
    """Django's connection; its statements return `ids`."""

    def __init__(self, ids: int) -> None:
        self.executed: list[tuple[str, Any]] = []
        self._ids = ids

    def cursor(self) -> Cursor:
        return Cursor(self.executed, self._ids, is_chunked=False)

    def chunked_cursor(self) -> Cursor:
        return Cursor(self.executed, self._ids, is_chunked=True)


@pytest.mark.parametrize(
    "name, page",
    [("vanished", Page(vanished=[(KEY, 1_000)])), ("purged", Page(purged=[Purged(1, ((1, 1),), 1_000)]))],
)
@pytest.mark.parametrize("ids", [0, 1, REMOVED_AT_ONCE, 2 * REMOVED_AT_ONCE + 1])
def test_no_more_ids_are_held_than_are_removed_at_once(
    monkeypatch: pytest.MonkeyPatch, name: str, page: Page, ids: int
) -> None:
    connection = Connection(ids)
    monkeypatch.setattr(pages, "connection", connection)

    pages.write(page, 2_000)

    (first, _), *removals = connection.executed
    assert first == statement(name)
    assert {text for text, _ in removals} <= {statement("remove_recent")}
    pieces = [len(parameters["ids"]) for _, parameters in removals]
    assert sum(pieces) == ids
    assert max(pieces, default=0) <= REMOVED_AT_ONCE
