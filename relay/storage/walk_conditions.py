"""The conditions of a filter in SQL, and the parameters of the statement that they belong to.

Rule: a value of a client is always a parameter, and a value that is used several times is sent once. The text depends
on the shape of a filter alone, so parameters are noted as functions of the filter: another one of the same shape needs
no new text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from relay.models import tag_key
from relay.protocol.audience import Audience
from relay.protocol.filters import Filter
from relay.protocol.visibility import all_public
from relay.storage.visibility_sql import PRESENT, bytea_array, hex_array, public, readable, unexpired

Tag = tuple[str, frozenset[str]]

_LISTED = 24
"""Longer lists are looked up in a hash table: PostgreSQL compares one value after the other with an array."""


Make = Callable[[Filter], Any]

Source = Callable[[Sequence[Filter], int], Any]
"""The value of a parameter, from the filters of the query and its time (Unix seconds)."""


_VALUES: Mapping[str, Make] = {
    "id": lambda flt: bytes.fromhex(next(iter(flt.ids or ()))),
    "ids": lambda flt: hex_array(flt.ids or ()),
    "author": lambda flt: bytes.fromhex(next(iter(flt.authors or ()))),
    "authors": lambda flt: bytes.fromhex("".join(flt.authors or ())),  # 32 bytes each: cheaper than an array
    "author list": lambda flt: hex_array(flt.authors or ()),
    "kind": lambda flt: next(iter(flt.kinds or ())),
    "kinds": lambda flt: "{" + ",".join(map(str, sorted(flt.kinds or ()))) + "}",
    "since": lambda flt: flt.since,
    "until": lambda flt: flt.until,
}


class Conditions:
    """Collects where the parameters of one statement come from, and makes the conditions of one filter after the other:
    `begin` with each.
    """

    def __init__(self, audience: Audience, vanishing: bool = True) -> None:
        """`vanishing`: rows of keys that asked to vanish may still be there; the conditions that leave them out cost
        15 us for each filter.
        """
        self.sources: list[Source] = []
        self._audience = audience
        self._vanishing = vanishing
        self._number = -1
        self._tags: Sequence[Tag] = ()
        self._bound: dict[str, str] = {}

    def begin(self, flt: Filter) -> None:
        """The conditions that follow are those of another filter."""
        self._number += 1
        self._tags = flt.tags
        self._bound = {}

    def bind(self, value: Any, kind: str) -> str:
        """Add a parameter that no filter decides; returns its placeholder."""
        return self._add(lambda _filters, _now: value, kind)

    def _add(self, source: Source, kind: str) -> str:
        self.sources.append(source)
        return f"${len(self.sources)}::{kind}"

    def _once(self, name: str, kind: str, make: Make | None = None) -> str:
        """A value of this filter, however often it is used."""
        if name not in self._bound:
            number, of = self._number, make or _VALUES[name]
            self._bound[name] = self._add(lambda filters, _now: of(filters[number]), kind)
        return self._bound[name]

    def _now(self, _: Any, kind: str) -> str:
        """The time of the query, in the place of any value."""
        if "now" not in self._bound:
            self._bound["now"] = self._add(lambda _filters, now: now, kind)
        return self._bound["now"]

    def _kinds(self) -> str:
        return self._once("kinds", "integer[]")

    def _authors(self) -> str:
        """The authors as rows."""
        packed = self._once("authors", "bytea")
        return f"SELECT substr({packed}, 32 * g - 31, 32) AS a FROM generate_series(1, length({packed}) / 32) AS g"

    def _tag_keys(self, tag: Tag) -> str:
        number = next(number for number, each in enumerate(self._tags) if each is tag)
        # Not by its letter: a filter may have two conditions on one (`visibility.division`).
        return self._once(
            f"#{number}", "bytea[]", lambda flt: bytea_array([tag_key(value) for value in flt.tags[number][1]])
        )

    def _window(self, flt: Filter, alias: str) -> list[str]:
        out = []
        if flt.since is not None:
            out.append(f"{alias}.created_at >= {self._once('since', 'bigint')}")
        if flt.until is not None:
            out.append(f"{alias}.created_at <= {self._once('until', 'bigint')}")
        return out

    def _conditions(self, flt: Filter, skip: str) -> list[str]:
        """Every condition on the row but those in `skip`, which the walked index fulfils, and the visibility."""
        is_public = all_public(flt.kinds)
        if self._vanishing or self._audience:
            out = [PRESENT if is_public else readable(self._audience, self.bind)]
        else:
            out = [] if is_public else [public()]
        out.append(unexpired(0, self._now))
        if flt.authors is not None and "authors" not in skip:
            if len(flt.authors) > _LISTED:
                out.append(f"(e.pubkey IN ({self._authors()})) IS TRUE")
            else:
                out.append(f"e.pubkey = ANY ({self._once('author list', 'bytea[]')})")
        if flt.kinds is not None and "kinds" not in skip:
            out.append(listed("e.kind", self._kinds(), len(flt.kinds)))
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
