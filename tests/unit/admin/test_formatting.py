"""How hostile text looks in the admin."""

import json

from relay.admin.formatting import format_time, isolated, kind_name, short, text, with_visible_formatting


def test_markup_is_escaped_and_isolated() -> None:
    assert isolated("<script>", 100) == '<bdi class="relay-text">&lt;script&gt;</bdi>'


def test_control_characters_are_shown_as_their_pictures() -> None:
    assert text("a\x00b\x1b\x7f\n", 100) == "a␀b␛␡\n"


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
