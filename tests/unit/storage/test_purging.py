"""When retention takes the lock of the order. Without a database: a connection that notes what it is asked."""

from typing import Any, Self

import pytest

from relay.protocol.retention import KEEPS_ALL, Retention, parse_rules
from relay.storage import purging


class Connection:
    """Django's connection and its cursor. `has_classes`: something is hidden or was."""

    def __init__(self, has_classes: bool) -> None:
        self.ran: list[str] = []
        self._has_classes = has_classes

    def cursor(self) -> Self:
        return self

    def execute(self, statement: str, _parameters: object = None) -> None:
        self.ran.append(statement)

    def fetchone(self) -> tuple[Any]:
        return (self._has_classes if "EXISTS" in self.ran[-1] else 0,)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        pass


@pytest.mark.parametrize(
    ("rules", "has_classes", "takes_the_lock"),
    [([], False, False), ([], True, True), (["* 30d"], False, True), (["7 others 1d"], True, True)],
)
def test_without_a_rule_now_or_before_writers_do_not_wait_for_retention(
    monkeypatch: pytest.MonkeyPatch, rules: list[str], has_classes: bool, takes_the_lock: bool
) -> None:
    connection = Connection(has_classes)
    monkeypatch.setattr(purging, "connection", connection)
    retention = Retention(parse_rules(rules)) if rules else KEEPS_ALL
    assert purging.put_in_force(retention, 1_800_000_000) == 0
    assert any("relay_retention_set" in statement for statement in connection.ran) is takes_the_lock
