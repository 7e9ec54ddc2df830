"""What a verifying process says of a line, and that it ends with its input."""

import io
import subprocess
import sys
from typing import Any

import orjson
import pytest

from relay.protocol.limits import Limits
from relay.transfer.verifier import Settings, decode_verified, frame, serve, verify
from tests.events import sign_event

CHECKED = Settings(Limits(max_content_length=100), trusted=False)
TRUSTED = Settings(Limits(max_content_length=100), trusted=True)
EVENT = sign_event(content="é\u0001", tags=[["t", "a"]])


def reason(line: bytes, settings: Settings = CHECKED) -> str:
    done = verify([line], settings)
    assert not done.events
    ((number, text),) = done.faults
    assert number == 0
    return text


def test_a_right_event_is_taken_with_its_line() -> None:
    done = verify([b"", orjson.dumps(EVENT), b"no", orjson.dumps(EVENT)], CHECKED)

    assert done.numbers == [1, 3]
    assert [orjson.loads(event.json) for event in done.events] == [EVENT, EVENT]
    assert [number for number, _ in done.faults] == [2]


def test_keys_that_other_relays_add_are_dropped() -> None:
    done = verify([orjson.dumps({**EVENT, "fried": "00ff"})], CHECKED)

    assert [orjson.loads(event.json) for event in done.events] == [EVENT]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"no", "invalid: not JSON"),
        (b"\xff{}", "invalid: not JSON"),
        (orjson.dumps(EVENT).replace("é".encode(), b"\xff"), "invalid: not JSON"),
        (b"[" * 100_000, "invalid: not JSON"),
        (b"[]", "invalid: an event must be a JSON object"),
        (b"{}", "invalid: Object missing required field `id`"),
        (orjson.dumps({**EVENT, "kind": "1"}), "invalid: Expected `int`, got `str`"),
        (orjson.dumps({**EVENT, "tags": [["t"], ["t", 5]]}), "invalid: Expected `str`, got `int` - at `$.tags[][]`"),
        (orjson.dumps({**EVENT, "content": "x" * 101}), "invalid: content may have"),
        (orjson.dumps({**EVENT, "content": "other"}), "invalid: the id is not the hash of the event"),
        (orjson.dumps({**EVENT, "sig": "0" * 128}), "invalid: the signature is not the author's"),
    ],
)
def test_a_refused_line_has_the_reason_that_a_client_is_told(line: bytes, expected: str) -> None:
    assert reason(line).startswith(expected)


def test_of_trusted_input_ids_are_verified_and_signatures_are_not() -> None:
    unsigned: dict[str, Any] = {**EVENT, "sig": "0" * 128}

    assert len(verify([orjson.dumps(unsigned)], TRUSTED).events) == 1
    assert reason(orjson.dumps({**unsigned, "content": ""}), TRUSTED) == "invalid: the id is not the hash of the event"


def test_frames_are_answered_in_order_until_the_input_ends() -> None:
    answers = io.BytesIO()

    serve(CHECKED, io.BytesIO(frame([orjson.dumps(EVENT)]) + frame([b"no"])), answers)

    data = answers.getvalue()
    size = int.from_bytes(data[:4], "big")
    assert len(decode_verified(data[4 : 4 + size]).events) == 1
    assert len(decode_verified(data[8 + size :]).faults) == 1


def test_the_process_knows_its_settings_and_needs_no_django() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "relay.transfer.verifier", TRUSTED.text()]

    unsigned = frame([orjson.dumps({**EVENT, "sig": "0" * 128})])
    done = subprocess.run(command, input=unsigned, capture_output=True, check=True)

    assert len(decode_verified(done.stdout[4:]).events) == 1
    assert b" django" not in done.stderr
