"""How hostile text looks in the admin."""

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from relay.admin.formatting import author_link, format_time, isolated, kind_name, short, text, with_visible_formatting


def test_markup_is_escaped_and_isolated() -> None:
    assert isolated("<script>", 100) == '<bdi class="relay-text">&lt;script&gt;</bdi>'


def test_control_characters_are_shown_as_their_pictures() -> None:
    assert text("a\x00b\x1b\x7f\n", 100) == "a␀b␛␡\n"


def test_bidi_controls_and_invisible_characters_are_shown_as_their_code() -> None:
    assert text("a\u202egnp.exe", 100) == "a⟨U+202E⟩gnp.exe"
    assert text("\u2066\u200b\ufeff\u2028\x85\U000e0041", 100) == ("⟨U+2066⟩⟨U+200B⟩⟨U+FEFF⟩⟨U+2028⟩⟨U+0085⟩⟨U+E0041⟩")


@given(st.text())
def test_no_shown_text_holds_a_character_that_changes_the_order(value: str) -> None:
    bidi = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)}

    assert not bidi & set(text(value, 1_000))


def test_what_joins_letters_and_emoji_is_kept() -> None:
    assert text("\U0001f468\u200d\U0001f469 \u0645\u06cc\u200c", 100) == "\U0001f468\u200d\U0001f469 \u0645\u06cc\u200c"


def test_an_author_has_the_claimed_name_and_the_ends_of_the_npub() -> None:
    link = author_link("00" * 32, "<Ada>\u202e")

    assert "&lt;Ada&gt;⟨U+202E⟩" in link
    assert "npub1qqqqq…" in link
    assert "00000000" not in re.sub('href="[^"]*"', "", link)


def test_a_long_text_is_cut() -> None:
    assert text("abcdef", 3) == "abc…"


def test_a_time_beyond_every_calendar_is_a_number() -> None:
    assert format_time(1_769_857_200) == "2026-01-31 11:00:00"
    assert format_time(2**63 - 1) == "9223372036854775807 s"
    assert format_time(-(2**63)) == "-9223372036854775808 s"


def test_a_kind_has_its_number_and_its_name_if_it_has_one() -> None:
    assert (kind_name(1), kind_name(12_345)) == ("1 · Note", "12345")


def test_a_key_is_told_by_its_ends() -> None:
    assert short("0123456789abcdef" * 4) == "01234567…cdef"


def test_half_a_surrogate_pair_can_be_sent_to_a_browser() -> None:
    assert text("a\ud800b", 100) == "a?b"


def test_json_hides_nothing_and_keeps_its_value() -> None:
    shown = with_visible_formatting(json.dumps({"content": "a\u202eb\u200bc\U000e0001"}, ensure_ascii=False))

    assert shown == '{"content": "a\\u202eb\\u200bc\\udb40\\udc01"}'
    assert json.loads(shown) == {"content": "a\u202eb\u200bc\U000e0001"}
