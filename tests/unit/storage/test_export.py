"""The transaction of an export. Without a database: a connection that notes what it is asked."""

import re
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest

from relay.protocol.limits import Limits
from relay.storage import export
from relay.storage.export import requests_statement, snapshot
from relay.transfer.exporting import parse_filters

BACKUP = Path(__file__).resolve().parents[3] / "docs/operations/backup.md"


class Connection:
    """Notes the statements that it runs."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.adapters: Any = self

    def execute(self, statement: str) -> Self:
        self.ran.append(statement)
        return self

    def fetchone(self) -> tuple[int, str, int]:
        return 7, "store", 1

    def register_loader(self, _name: str, _loader: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass


def test_the_tables_are_locked_before_the_snapshot_begins_so_that_no_partition_is_replaced_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = Connection()
    monkeypatch.setattr(psycopg, "connect", lambda *_words, **_options: connection)
    monkeypatch.setattr(export, "conninfo", lambda **_options: "")
    with snapshot([], 0, private=True, newest_first=False) as found:
        assert found.position == 7
    first_query = next(number for number, text in enumerate(connection.ran) if text.startswith("SELECT"))
    assert "REPEATABLE READ" in connection.ran[0]
    assert "LOCK TABLE relay_event, relay_tag IN ACCESS SHARE MODE" in connection.ran[:first_query]


def test_the_command_of_the_document_exports_the_requests_to_vanish_that_a_recovery_loses() -> None:
    (wanted,) = re.findall(r"`manage\.py export --private --filter '([^']+)'`", BACKUP.read_text())
    filters = parse_filters([wanted], Limits())
    assert filters[0].kinds == frozenset({5, 62})
    assert requests_statement(filters).text != requests_statement([]).text
