"""A query of a client on its way to one server or another."""

from collections.abc import Sequence

from msgspec import Struct

from relay.protocol.audience import Audience
from relay.protocol.filters import Filter


class Question(Struct, frozen=True, gc=False):
    """What is asked: `filters` for `audience`, on the account of `owner`, before `ends` of the loop's clock. The answer
    has a position of at least `least`.
    """

    filters: Sequence[Filter]
    audience: Audience
    owner: str
    least: int
    ends: float
