"""What `manage.py explain` explains is what the relay asks. Without a database."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from relay.protocol.audience import ANONYMOUS, Audience
from relay.protocol.filters import Filter, parse_filter
from relay.protocol.limits import Limits
from relay.storage.explain import asked_for
from relay.storage.question import Question
from relay.storage.question_attempts import Answered
from relay.storage.read_result import Part
from relay.storage.reads import Reads

READER, OTHER = "1" * 64, "2" * 64


def asked_by_the_relay(filters: Sequence[Filter], audience: Audience, monkeypatch: pytest.MonkeyPatch) -> list[Filter]:
    """The filters of the question that a REQ of `filters` becomes."""
    unconnected: Any = object()
    reads, found = Reads(unconnected), list[Filter]()

    async def ask(_fetch: object, question: Question) -> Answered:
        found.extend(question.filters)
        return 0, [Part((), True) for _ in question.filters]

    monkeypatch.setattr(reads.attempts, "ask", ask)
    asyncio.run(reads.query(filters, audience, seconds=1.0))
    return found


@pytest.mark.parametrize("audience", [ANONYMOUS, Audience.of([READER])])
@pytest.mark.parametrize(
    "wanted",
    [
        {"kinds": [1]},
        {"kinds": [1, 4]},
        {"kinds": [4]},
        {"kinds": [1, 4, 1_059], "authors": [READER, OTHER]},
        {"kinds": [1_059], "#p": [READER]},
        {"kinds": [1, 20_001]},
        {"authors": [READER]},
    ],
)
def test_the_filters_that_are_explained_are_those_that_the_relay_asks_for(
    wanted: dict[str, Any], audience: Audience, monkeypatch: pytest.MonkeyPatch
) -> None:
    filters = [parse_filter(wanted, Limits())]
    assert asked_for(filters, audience) == asked_by_the_relay(filters, audience, monkeypatch)
