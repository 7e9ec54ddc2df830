"""An export: the events of the store at one position of its log, as JSON Lines."""

import time
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import orjson

from relay.protocol.errors import Invalid
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.storage.export import NO_LIMIT, snapshot
from relay.transfer.files import output
from relay.transfer.progress import Shown


class Exported(msgspec.Struct, frozen=True):
    """`events` were exported, which `store` (`identity.epoch`) held after change `position`."""

    events: int
    position: int
    store: str


def parse_filters(texts: Sequence[str], limits: Limits) -> list[Filter]:
    """The filters in JSON texts, each an object or an array of them; one without conditions for no text.

    The relay's caps of `limit` do not apply. Raises RelayError with the reason.
    """
    limits = replace(limits, default_limit=NO_LIMIT, max_limit=NO_LIMIT)
    found: list[Filter] = []
    for text in texts or ["{}"]:
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError as fault:
            raise Invalid(f"a filter must be JSON: {fault.msg}") from None
        found += [parse_filter(one, limits) for one in (value if isinstance(value, list) else [value])]
    return found


def export(
    filters: Sequence[Filter], name: str, compression: str, *, private: bool, newest_first: bool, quiet: bool
) -> Exported:
    """Write the events that match one of `filters` to the file `name`. Raises OSError or psycopg.Error."""
    events = 0
    with (
        output(name, compression) as stream,
        snapshot(filters, int(time.time()), private=private, newest_first=newest_first) as found,
        Shown("exported", found.estimate, quiet=quiet) as shown,
    ):
        for page in found.pages:
            page.append(b"")
            stream.write(b"\n".join(page))
            events += len(page) - 1
            shown.update(events, events)
    return Exported(events, found.position, found.store)
