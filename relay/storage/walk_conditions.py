"""The conditions of a filter in SQL, and the parameters of the statement that they belong to.

Rule: a value of a client is always a parameter, and a value that is used several times is sent once.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from relay.models import tag_key
from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public
from relay.storage.visibility_sql import PRESENT, bytea_array, hex_array, public, readable, unexpired

Tag = tuple[str, frozenset[str]]

_LISTED = 24
"""Longer lists are looked up in a hash table: PostgreSQL compares one value after the other with an array."""


class Conditions:
    """Collects the parameters of one statement, and makes the conditions of one filter after the other."""

    def __init__(self, now: int, audience: Audience, vanishing: bool = True) -> None:
        """`vanishing`: rows of keys that asked to vanish may still be there; the conditions that leave them out cost
        15 us for each filter.
        """
        self.parameters: list[Any] = []
        self._now = now
        self._audience = audience
        self._vanishing = vanishing
        self._bound: dict[str, str] = {}

    def bind(self, value: Any, kind: str) -> str:
        """Add a parameter; returns its placeholder."""
        self.parameters.append(value)
        return f"${len(self.parameters)}::{kind}"

    def _once(self, name: str, value: Any, kind: str) -> str:
        """Bind a value of this filter once, however often it is used."""
        if name not in self._bound:
            self._bound[name] = self.bind(value, kind)
        return self._bound[name]

    def _bind_now(self, value: Any, kind: str) -> str:
        return self._once("now", value, kind)

    def _kinds(self, flt: Filter) -> str:
        return self._once("kinds", "{" + ",".join(map(str, sorted(flt.kinds or ()))) + "}", "integer[]")

    def _authors(self, flt: Filter) -> str:
        """The authors as rows, from one value of 32 bytes each: cheaper to send and parse than an array."""
        packed = self._once("authors", bytes.fromhex("".join(flt.authors or ())), "bytea")
        return f"SELECT substr({packed}, 32 * g - 31, 32) AS a FROM generate_series(1, length({packed}) / 32) AS g"

    def _tag_keys(self, tag: Tag) -> str:
        letter, values = tag
        name = f"#{letter} {id(values)}"  # a filter may have two conditions on one letter (`visibility.division`)
        return self._once(name, bytea_array([tag_key(value) for value in values]), "bytea[]")

    def _window(self, flt: Filter, alias: str) -> list[str]:
        out = []
        if flt.since is not None:
            out.append(f"{alias}.created_at >= {self._once('since', flt.since, 'bigint')}")
        if flt.until is not None:
            out.append(f"{alias}.created_at <= {self._once('until', flt.until, 'bigint')}")
        return out

    def _conditions(self, flt: Filter, skip: str) -> list[str]:
        """Every condition on the row but those in `skip`, which the walked index fulfils, and the visibility."""
        is_public = all_public(flt.kinds)
        if self._vanishing or self._audience:
            out = [PRESENT if is_public else readable(self._audience, self.bind)]
        else:
            out = [] if is_public else [public()]
        out.append(unexpired(self._now, self._bind_now))
        if flt.authors is not None and "authors" not in skip:
            if len(flt.authors) > _LISTED:
                out.append(f"(e.pubkey IN ({self._authors(flt)})) IS TRUE")
            else:
                out.append(f"e.pubkey = ANY ({self._once('author list', hex_array(flt.authors), 'bytea[]')})")
        if flt.kinds is not None and "kinds" not in skip:
            out.append(listed("e.kind", self._kinds(flt), len(flt.kinds)))
        return out if "tags" in skip else out + self._tag_conditions(flt.tags)

    def _tag_conditions(self, tags: Iterable[Tag]) -> list[str]:
        # Not EXISTS: PostgreSQL might read all events of a common tag into a hash table.
        return [
            "(SELECT true FROM relay_tag AS o WHERE o.event_id = e.id AND o.created_at = e.created_at "
            f"AND o.key = ANY ({self._tag_keys(tag)}) LIMIT 1)"
            for tag in tags
        ]


def all_of(conditions: Sequence[str]) -> str:
    """The conjunction of conditions; true without any."""
    return " AND ".join(conditions) or "true"


def listed(column: str, array: str, count: int) -> str:
    """The condition that a column has one of the `count` values of an array."""
    return f"({column} IN (SELECT unnest({array}))) IS TRUE" if count > _LISTED else f"{column} = ANY ({array})"
