"""What the views call popular, trending and active. The SQL files take these names; nothing else says how many.

A *popular* event is a note (kind 1) of the last seven days with which more than ten distinct people engaged in these
days. To engage is to react (kind 7, except "-", which NIP-25 defines as a dislike), to repost (6, 16), to answer it
directly (kind 1 with an `e` tag: the one marked `reply`, else the one marked `root`, else, without markers, the last)
or to zap it (9735: the person in the zap request, whose signature is checked). Only deeds of served events count:
nothing of a private kind, nothing expired, nothing removed. People are counted, not events, and the author does not
count, so that neither a loop nor the own applause makes a note popular. Times of the future do not count before they
have come.

Rank: people, then people by way of engaging added up, then the newer, then the lower id. At most a thousand.
"""

from typing import Final

from relay.protocol.visibility import NEVER_COPIED_KINDS

DAY_SECONDS: Final = 86_400

WINDOW_SECONDS: Final = 7 * DAY_SECONDS
"""How far back events count; times are the authors' (`created_at`)."""

MORE_THAN_PEOPLE: Final = 10
MOST_POPULAR: Final = 1_000
POPULAR_KINDS: Final = (1,)

TREND_SECONDS: Final = DAY_SECONDS
TREND_AUTHORS: Final = 3
"""Distinct authors that make a hashtag one that is shown."""

MOST_HASHTAGS: Final = 100
MOST_AUTHORS: Final = 200
MOST_KINDS: Final = 30
MOST_REPORTED: Final = 500
HOURS_SECONDS: Final = 30 * DAY_SECONDS
REPORT_SECONDS: Final = 30 * DAY_SECONDS
GROWTH_SECONDS: Final = 400 * DAY_SECONDS

NEVER_SERVED: Final = tuple(sorted(NEVER_COPIED_KINDS))
"""Their authors are not shown: who writes private messages is private as well. They are counted by kind and hour."""

REACTION: Final = 7
REPOSTS: Final = (6, 16)
NOTE: Final = 1
ZAP: Final = 9735
REPORT: Final = 1984
TAGGED_KINDS: Final = (20, 21, 22, 1111, 30023)
"""Pictures, videos, comments and articles: beside notes, the kinds whose hashtags count."""

READ_KINDS: Final = (NOTE, REACTION, *REPOSTS, ZAP, REPORT, *TAGGED_KINDS)
"""Kinds whose text the roll-up looks into."""

READ_BYTES: Final = 32_768
"""A longer text is counted and not looked into: a page of the roll-up stays small whatever people publish."""

AHEAD_SECONDS: Final = DAY_SECONDS
"""Events dated further ahead are left out, or they would stay in the roll-up until their time has come."""


def window_begin(now: int) -> int:
    """The first second that the roll-up keeps rows of, at `now` (Unix seconds): whole days, so that counts by hour and
    day are made anew as wholes."""
    return (now - WINDOW_SECONDS) // DAY_SECONDS * DAY_SECONDS


def sql_names() -> dict[str, str]:
    """Every constant above, as the SQL files name it ($NAME)."""
    found = {name: value for name, value in globals().items() if name.isupper()}
    return {name: ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in found.items()}
