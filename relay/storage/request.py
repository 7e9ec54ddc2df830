"""A statement on a channel (`relay.storage.channel`), and what it may share with others of its snapshot."""

import asyncio
from collections.abc import Sequence

from msgspec import Struct

Parameter = bytes | str | int | None
Row = tuple[bytes | None, ...]
"""A row in PostgreSQL's binary format."""


class Shared(Struct, frozen=True, gc=False):
    """The first `columns` columns of a query whose one row has the same values in them as others of its snapshot, and
    the `text` of the query without them.
    """

    text: bytes
    columns: int


class Request:
    """A statement under way, and the future of its rows. `commands`: those that were sent for it; the first deallocate
    the names `deallocates`. `is_skipped`: its answer was Skipped. `leads`: its row has the shared columns for its
    group. `takes`: so many columns come from that row.
    """

    __slots__ = ("commands", "deallocates", "future", "is_skipped", "leads", "prepares", "takes", "text")

    def __init__(self, text: bytes, future: "asyncio.Future[list[Row]]", prepares: bool) -> None:
        self.text = text
        self.future = future
        self.prepares = prepares
        self.commands = 1
        self.deallocates: Sequence[bytes] = ()
        self.is_skipped = False
        self.leads = False
        self.takes = 0
