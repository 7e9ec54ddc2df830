"""Feeds: the newest events of a kind, of an author, of an author and kind, and the replies to an event.

A feed is the page of a filter without `since` and `until` that holds more than most clients ask for, so that one copy
serves every window on it. A filter is covered by a feed when the feed's filter is the same but for `since`, `until`,
`limit`, and `kinds` where the feed has none: every event that matches it then matches the feed's filter, so the feed,
newest first, holds every match down to its own end. `Page.answer` checks that the answer does not reach below it.
"""

from relay.protocol.filters import Filter

KIND_ROWS = 1_000
AUTHOR_ROWS = 500
REPLY_ROWS = 500


def feed_of(flt: Filter) -> Filter | None:
    """The filter of the feed that covers `flt`, None when no feed does."""
    kinds, authors = flt.kinds, flt.authors
    one_kind = kinds is not None and len(kinds) == 1
    if flt.ids is not None:
        return None
    if flt.tags:
        (letter, keys), *others = flt.tags
        is_thread = letter == "e" and len(keys) == 1 and not others and authors is None
        return _feed(REPLY_ROWS, tags=flt.tags) if is_thread else None
    if authors is not None:
        return _feed(AUTHOR_ROWS, authors=authors, kinds=kinds if one_kind else None) if len(authors) == 1 else None
    return _feed(KIND_ROWS, kinds=kinds) if one_kind else None


def _feed(
    limit: int,
    *,
    authors: frozenset[str] | None = None,
    kinds: frozenset[int] | None = None,
    tags: tuple[tuple[str, frozenset[str]], ...] = (),
) -> Filter:
    return Filter(None, authors, kinds, None, None, limit, False, tags)
