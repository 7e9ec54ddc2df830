"""The definitions of popular, trending and active. SQL files use these constants as $NAME.

A *popular* event is a note (kind 1) of the last seven days with which more than ten distinct people engaged in these
days. To engage is to react (kind 7, except "-", which NIP-25 defines as a dislike), to repost (6, 16), to answer it
directly (kind 1 with an `e` tag: the one marked `reply`, else the one marked `root`, else, without markers, the last)
or to zap it (9735: the author of the zap request, whose signature is checked). Only served events count: no private
kinds, nothing expired or removed. Distinct pubkeys are counted, without the note's author. Events dated in the future
count from their time on.

Rank: people, then the sum of people over the kinds of engagement, then the newer, then the lower id. At most 1,000.
"""

from typing import Final

from relay.protocol.visibility import NEVER_COPIED_KINDS

DAY_SECONDS: Final = 86_400

WINDOW_SECONDS: Final = 7 * DAY_SECONDS
"""Age of events that count, by `created_at`."""

MORE_THAN_PEOPLE: Final = 10
MOST_POPULAR: Final = 1_000
POPULAR_KINDS: Final = (1,)

TREND_SECONDS: Final = DAY_SECONDS
TREND_AUTHORS: Final = 3
"""Minimum of distinct authors of a trending hashtag."""

MOST_HASHTAGS: Final = 100
MOST_AUTHORS: Final = 200
MOST_KINDS: Final = 30
MOST_REPORTED: Final = 500
HOURS_SECONDS: Final = 30 * DAY_SECONDS
REPORT_SECONDS: Final = 30 * DAY_SECONDS
GROWTH_SECONDS: Final = 400 * DAY_SECONDS

NEVER_SERVED: Final = tuple(sorted(NEVER_COPIED_KINDS))
"""Not counted by author, because the senders of private messages are private; counted by kind and hour."""

REACTION: Final = 7
REPOSTS: Final = (6, 16)
NOTE: Final = 1
ZAP: Final = 9735
REPORT: Final = 1984
TAGGED_KINDS: Final = (20, 21, 22, 1111, 30023)
"""Pictures, videos, comments and articles: the kinds beside notes whose hashtags count."""

READ_KINDS: Final = (NOTE, REACTION, *REPOSTS, ZAP, REPORT, *TAGGED_KINDS)
"""Kinds whose JSON the roll-up decodes."""

READ_BYTES: Final = 32_768
"""Longer events are counted but not decoded, which bounds the size of a page."""

AHEAD_SECONDS: Final = DAY_SECONDS
"""Events dated further in the future are ignored."""


def window_begin(now: int) -> int:
    """The start of the roll-up's window at `now` (Unix seconds); midnight, so that hours and days are whole."""
    return (now - WINDOW_SECONDS) // DAY_SECONDS * DAY_SECONDS


def sql_names() -> dict[str, str]:
    """Name -> SQL text of every constant above."""
    found = {name: value for name, value in globals().items() if name.isupper()}
    return {name: ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in found.items()}
