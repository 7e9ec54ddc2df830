"""HTML formatting of events.

Rule: untrusted text is escaped, bidi-isolated (<bdi>) and truncated, and its control characters are shown.
"""

import json
import unicodedata
from datetime import UTC, datetime

from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from relay.protocol import nip19

LONGEST_NAME = 40
"""Characters of a profile's name in a list."""

KIND_NAMES = {
    0: "Profile",
    1: "Note",
    3: "Follows",
    4: "Direct message",
    5: "Deletion request",
    6: "Repost",
    7: "Reaction",
    16: "Generic repost",
    1059: "Gift wrap",
    1111: "Comment",
    1984: "Report",
    9735: "Zap",
    10002: "Relay list",
    10050: "Message relays",
    30023: "Article",
    30078: "App data",
}

_JOINERS = "\u200c\u200d"
"""Zero-width (non-)joiner: Persian and emoji need them, and they change no order."""

_PICTURES = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"} | {0x7F: "\u2421"}

_INVISIBLE = {
    code: f"⟨U+{code:04X}⟩"
    for code in (*range(0x80, 0x3000), *range(0xFE00, 0x10000), *range(0xE0000, 0xE0080))
    if unicodedata.category(chr(code)) in ("Cc", "Cf", "Zl", "Zp") and chr(code) not in _JOINERS
}
"""Bidi controls, zero-width and other format characters, line separators."""

_VISIBLE_CONTROLS = _PICTURES | _INVISIBLE


def text(value: str, longest: int) -> str:
    """At most `longest` characters. Control characters as control pictures (␀), bidi controls and other invisible
    ones as their code (⟨U+202E⟩), lone surrogates as `?`.
    """
    shown = value[:longest].translate(_VISIBLE_CONTROLS).encode("utf-8", "replace").decode()
    return f"{shown}…" if len(value) > longest else shown


def isolated(value: str, longest: int) -> SafeString:
    """Text in a <bdi> element, so that its direction does not affect its surroundings."""
    return format_html('<bdi class="relay-text">{}</bdi>', text(value, longest))


def one_line(content: str, longest: int) -> str:
    """The first 4 * `longest` characters of a text with white space collapsed."""
    return " ".join(content[: 4 * longest].split())


def block(value: str, longest: int = 200_000) -> SafeString:
    """Preformatted text."""
    return format_html('<pre class="relay-block" tabindex="0" dir="auto">{}</pre>', text(value, longest))


def kind_name(kind: int) -> str:
    """The number, with the kind's name if it has one: "1 · Note"."""
    return f"{kind} · {KIND_NAMES[kind]}" if kind in KIND_NAMES else str(kind)


def format_time(seconds: int) -> str:
    """Unix seconds as date and time in UTC; a number out of range as it is."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"


def event_link(event_id: str, label: str = "") -> SafeString:
    """A link to an event's page."""
    url = reverse("admin:relay_event_change", args=[event_id])
    return format_html('<a class="relay-link relay-hex" href="{}" title="{}">{}</a>', url, event_id, label or event_id)


def search_link(term: str, label: str) -> SafeString:
    """A link to the list of events with a search."""
    url = f"{reverse('admin:relay_event_changelist')}?{urlencode({'q': term})}"
    return format_html('<a class="relay-link" href="{}"><bdi>{}</bdi></a>', url, label)


def author_link(pubkey: str, name: str = "") -> SafeString:
    """A link to the events of an author: the `name` claimed in the profile, if any, and the abbreviated npub."""
    npub = nip19.encode("npub", bytes.fromhex(pubkey))
    shown = format_html('<span class="relay-hex" title="{}">{}…{}</span>', npub, npub[:10], npub[-4:])
    claimed = format_html("{} ", isolated(name, LONGEST_NAME)) if name else ""
    url = f"{reverse('admin:relay_event_changelist')}?{urlencode({'q': f'author:{pubkey}'})}"
    return format_html('<a class="relay-link relay-author" href="{}">{}{}</a>', url, claimed, shown)


def copyable(value: str, what: str, shown: str | SafeString = "") -> SafeString:
    """A text in monospace with a button that copies it. `what`: its name for screen readers; `shown`: another form."""
    return format_html(
        '<span class="relay-copyable"><span class="relay-hex">{}</span>{}</span>',
        shown or value,
        copy_button(value, what),
    )


def copy_button(value: str, what: str) -> SafeString:
    """A button that copies `value` (copy.js)."""
    return format_html(
        '<button type="button" class="relay-copy" data-copy="{}" aria-label="Copy {}">Copy</button>', value, what
    )


def key_forms(key: str, form: str) -> SafeString:
    """An id or key in hex and in NIP-19 form (`form`: note or npub), each with a copy button."""
    name = nip19.encode(form, bytes.fromhex(key))
    return format_html("{}{}", copyable(key, f"{form} in hex"), copyable(name, form))


def with_visible_formatting(json_text: str) -> str:
    """JSON with invisible characters (bidi controls, zero width) as escapes: the same value."""
    return "".join(_escaped(char) if unicodedata.category(char) == "Cf" else char for char in json_text)


def _escaped(char: str) -> str:
    return json.dumps(char)[1:-1]


def short(hex_key: str) -> str:
    """An abbreviated key: its first 8 and last 4 digits."""
    return f"{hex_key[:8]}…{hex_key[-4:]}"
