"""What the relay sends, told apart: OK to the publisher, EOSE and CLOSED to the asker, events to the follower.

Rule: an event's frame is looked at, not parsed (a fan-out brings 100,000 a second); every other message is parsed,
and one that is not of the protocol is counted as garbage.
"""

from typing import Any

import orjson

from relay.loadtest.asking import Asker
from relay.loadtest.following import LIVE, Follower
from relay.loadtest.link import Link
from relay.loadtest.publishing import Publisher
from relay.loadtest.tally import Tally

_LIVE_ID = f'"{LIVE}"'.encode()


class Answers:
    """Give `on_text` to every link of a worker."""

    def __init__(self, tally: Tally, publisher: Publisher, asker: Asker, follower: Follower) -> None:
        self._tally = tally
        self._publisher = publisher
        self._asker = asker
        self._follower = follower

    def on_text(self, link: Link, data: bytes) -> None:
        if data[:8] == b'["EVENT"':
            self._on_event(link, data)
            return
        try:
            message = orjson.loads(data)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, list) or not message or not self._take(link, message, data):
            self._tally.garbage += 1

    def _on_event(self, link: Link, data: bytes) -> None:
        if link.seen is not None and _LIVE_ID in data[8:20]:
            self._follower.on_event(link, data)
        else:
            self._asker.on_event(link, data)

    def _take(self, link: Link, message: list[Any], data: bytes) -> bool:
        """False for what the protocol does not have."""
        verb = message[0]
        if verb == "NOTICE":
            text = message[1] if len(message) > 1 and isinstance(message[1], str) else ""
            self._tally.notices.add(text)
            return True
        if len(message) < 2 or not isinstance(message[1], str):
            return False
        if verb == "OK":
            return len(message) > 2 and self._publisher.on_ok(link, message)
        if verb in ("EOSE", "CLOSED"):
            refusal = None if verb == "EOSE" else message[2] if len(message) > 2 else ""
            takes = self._follower.on_end if message[1] == LIVE else self._asker.on_end
            takes(link, message[1], refusal)
            return True
        self._tally.challenges += verb == "AUTH"
        if verb == "EVENT":  # with white space before it
            self._on_event(link, data.strip())
        return verb in ("AUTH", "EVENT")
