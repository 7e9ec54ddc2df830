"""The answer of a filter that was divided: one order, one limit, and what lies below."""

from relay.protocol.filters import parse_filter
from relay.protocol.limits import Limits
from relay.storage.filter_sql import Key
from relay.storage.read_result import Part, joined, key_of
from tests.events import NOW, unsigned_event
from tests.unit.changes.orders import stored


def text(age: int) -> bytes:
    return stored(unsigned_event(content="", created_at=NOW - age)).json


TEXTS = [text(age) for age in range(10)]
FLT = parse_filter({"limit": 4}, Limits())


def test_no_part_is_an_empty_and_whole_answer() -> None:
    assert joined([], FLT) == Part([], True, [])


def test_parts_are_united_in_one_order_up_to_the_limit() -> None:
    answer = joined([Part(TEXTS[0:6:2], True), Part(TEXTS[1:6:2], True), Part(TEXTS[:2], True)], FLT)
    assert (answer.texts, answer.complete, answer.next) == (TEXTS[:4], False, TEXTS[4])


def test_what_lies_below_a_part_lies_below_the_answer_unless_it_belongs_to_it() -> None:
    first, second = Part(TEXTS[:3], False, (), TEXTS[3]), Part(TEXTS[3:4], True)
    assert (joined([first, second], FLT).complete, joined([first, second], FLT).next) == (False, None)


def test_after_the_first_key_there_are_keys_alone() -> None:
    keys: list[Key] = [key_of(TEXTS[1])]
    answer = joined([Part(TEXTS[:1], True, keys), Part(TEXTS[2:3], True)], FLT)
    assert (answer.texts, answer.keys) == (TEXTS[:1], [*keys, key_of(TEXTS[2])])
