"""Parses environment variables in terms of Nostr: kinds, public keys, rates and retention of events (env.py)."""

from relay.protocol.nip19 import NotAName, decode
from relay.protocol.rates import Rate, parse_rate, parse_rates_of_kinds
from relay.protocol.retention import NotARule, parse_rules
from relayproject import env


def rate(name: str, default: str) -> Rate:
    """A rate limit (relay.protocol.rates): `<a second>:<at once>`, or 0 for none."""
    raw = env.text(name, default)
    try:
        return parse_rate(raw)
    except ValueError:
        env.fault(name, f"must be a rate such as {default}, tokens a second and at once, or 0, not {raw!r}")
        return parse_rate(default)


def rates_of_kinds(name: str) -> tuple[str, ...]:
    """Rate limits of kinds of events, such as `1984=1:60,7=20:400`, as parse_rates_of_kinds takes them."""
    found = env.words(name)
    try:
        parse_rates_of_kinds(found)
    except ValueError:
        env.fault(name, f"must list rates of kinds such as 1984=1:60,7=20:400, not {env.text(name)!r}")
        return ()
    return found


def retention(name: str) -> tuple[str, ...]:
    """Rules of retention (relay.protocol.retention), separated by semicolons."""
    found = tuple(rule.strip() for rule in env.text(name).split(";") if rule.strip())
    try:
        parse_rules(found)
    except NotARule as error:
        env.fault(name, f"must list rules such as `* 365d; 7 others 30d`: {error}")
        return ()
    return found


def kinds(name: str) -> tuple[int, ...] | None:
    """Event kinds, separated by commas; none when it is unset, None for `all`."""
    raw = env.words(name)
    if raw == ("all",):
        return None
    wrong = [word for word in raw if not _is_kind(word)]
    if wrong:
        env.fault(name, f"must be all, or event kinds such as 4,1059, not {', '.join(wrong)}")
        return ()
    return tuple(map(int, raw))


def bits_by_kind(name: str) -> tuple[tuple[int, int], ...]:
    """Pairs such as 1059=20,7=0: a difficulty of 0 to 256 bits for an event kind."""
    pairs = [word.partition("=") for word in env.words(name)]
    wrong = [kind + equals + bits for kind, equals, bits in pairs if not (_is_kind(kind) and _is_kind(bits, 256))]
    if wrong:
        env.fault(name, f"must be pairs of a kind and bits, such as 1059=20, not {', '.join(wrong)}")
        return ()
    return tuple((int(kind), int(bits)) for kind, _, bits in pairs)


def _is_kind(word: str, most: int = 65_535) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 6 and int(word) <= most


def public_key(name: str) -> str:
    """A public key as 64 hex digits; an npub (NIP-19) is converted. Another text is left to validation.py."""
    value = env.text(name)
    if value.startswith("npub1"):
        try:
            return decode(value).author or value
        except NotAName:
            return value
    return value
