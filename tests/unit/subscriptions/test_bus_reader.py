"""What a subscription to the bus takes from its connection, and how it ends."""

import asyncio
from typing import Any, cast

import hiredis
import pytest

from relay.subscriptions import bus_reader
from relay.subscriptions.bus_reader import Reader

CHANNELS = ["one", "two"]


def confirmation(channel: str, number: int, kind: str = "subscribe") -> bytes:
    return b"*3\r\n$%d\r\n%s\r\n$3\r\n%s\r\n:%d\r\n" % (len(kind), kind.encode(), channel.encode(), number)


def message(data: bytes) -> bytes:
    return b"*3\r\n$7\r\nmessage\r\n$3\r\none\r\n$%d\r\n%s\r\n" % (len(data), data)


CONFIRMED = confirmation("one", 1) + confirmation("two", 2)


class Wire:
    """A transport that records."""

    def __init__(self) -> None:
        self.written = b""
        self.is_reading = True
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True

    def abort(self) -> None:
        self.is_aborted = True


class Heard:
    """A reader on a wire, and what it has told."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.lost: list[Exception] = []
        self.wire = Wire()
        self.reader = Reader([("AUTH", "secret")], CHANNELS, self.taken.append, self.lost.append)
        self.reader.connection_made(cast(Any, self.wire))


async def test_it_logs_in_and_is_ready_once_every_channel_is_confirmed() -> None:
    heard = Heard()
    parser = hiredis.Reader()
    parser.feed(heard.wire.written)
    assert [parser.gets(), parser.gets()] == [[b"AUTH", b"secret"], [b"SUBSCRIBE", b"one", b"two"]]
    heard.reader.data_received(b"+OK\r\n" + confirmation("one", 1))
    assert not heard.reader.ready.done()
    heard.reader.data_received(confirmation("two", 2))
    assert heard.reader.ready.done()


async def test_messages_are_taken_in_order_wherever_the_network_has_cut_them() -> None:
    heard = Heard()
    text = CONFIRMED + b"".join(message(b"%d" % number) for number in range(20))
    for start in range(0, len(text), 7):
        heard.reader.data_received(text[start : start + 7])
    assert heard.taken == [b"%d" % number for number in range(20)]
    assert heard.lost == []


async def test_after_a_message_that_takes_long_other_work_of_the_loop_comes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bus_reader, "TURN_SECONDS", -1.0)
    heard = Heard()
    heard.reader.data_received(message(b"1") + message(b"2") + message(b"3"))
    assert (heard.taken, heard.wire.is_reading) == ([b"1"], False)
    async with asyncio.timeout(5):
        while len(heard.taken) < 3:
            await asyncio.sleep(0)
    assert heard.taken == [b"1", b"2", b"3"]


@pytest.mark.parametrize(
    "data",
    [confirmation("one", 1, "sunsubscribe"), confirmation("one", 1, "unsubscribe"), b"-ERR no\r\n", b"?"],
    ids=["sunsubscribe", "unsubscribe", "error", "another protocol"],
)
async def test_a_subscription_that_the_server_ends_is_lost_once(data: bytes) -> None:
    heard = Heard()
    heard.reader.data_received(CONFIRMED)
    heard.reader.data_received(data + message(b"late"))
    heard.reader.connection_lost(None)
    assert (len(heard.lost), heard.taken, heard.wire.is_aborted) == (1, [], True)


async def test_a_login_that_is_refused_is_told_to_who_waits_for_the_subscription() -> None:
    heard = Heard()
    heard.reader.data_received(b"-WRONGPASS invalid\r\n")
    with pytest.raises(hiredis.ReplyError, match="WRONGPASS"):
        await heard.reader.ready
    assert heard.lost == []


async def test_a_reader_that_was_closed_tells_of_no_loss() -> None:
    heard = Heard()
    heard.reader.data_received(CONFIRMED)
    heard.reader.close()
    heard.reader.connection_lost(OSError())
    assert heard.lost == []
