"""Rates as operators set them: tokens a second, and tokens at once."""

from collections.abc import Iterable, Mapping

from msgspec import Struct

HANDFUL_SHARE = 4
"""A grant, the tokens that a worker takes at a time, is the burst divided by this."""

LONGEST_SECONDS = 1_000_000
"""A rate gains its burst within this time."""


class Rate(Struct, frozen=True, gc=False):
    """`per_second` tokens a second, `burst` at once (both above 0). A burst of 0: no limit."""

    per_second: float
    burst: int

    @property
    def grant(self) -> int:
        """What a worker holds at most."""
        return max(1, self.burst // HANDFUL_SHARE)

    def __bool__(self) -> bool:
        return self.burst > 0

    def __str__(self) -> str:
        return f"{self.per_second:.10g}:{self.burst}" if self else "0"


OFF = Rate(0.0, 0)


def parse_rate(text: str) -> Rate:
    """The rate of `<a second>:<at once>`, such as `100:5000` or `0.5:20`; `0` is OFF. Raises ValueError."""
    if text.strip() == "0":
        return OFF
    per_second, _, burst = text.partition(":")
    rate = Rate(float(per_second), int(burst))
    if not 0 < rate.per_second <= 1e9 or not 1 <= rate.burst <= LONGEST_SECONDS * rate.per_second:
        raise ValueError("a rate is out of range")
    return rate


def parse_rates_of_kinds(words: Iterable[str]) -> dict[int, Rate]:
    """The rates of `<kind>=<a second>:<at once>` for each kind. Raises ValueError."""
    rates = {}
    for word in words:
        kind, _, rate = word.partition("=")
        rates[int(kind)] = parse_rate(rate)
    return rates


class RateSettings(Struct, frozen=True):
    """The limits. By address: messages, bytes, events, events of a kind (`kinds`), questions (REQ, COUNT), sign_ins.
    By author: events.
    """

    messages: Rate = OFF
    bytes: Rate = OFF
    events: Rate = OFF
    kinds: Mapping[int, Rate] = {}
    questions: Rate = OFF
    sign_ins: Rate = OFF
    author: Rate = OFF
