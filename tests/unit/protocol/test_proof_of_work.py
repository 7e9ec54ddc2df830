"""Proof of work (NIP-13)."""

import pytest

from relay.protocol.event import Event
from relay.protocol.proof_of_work import difficulty, lacks_work
from tests.events import unsigned_event


@pytest.mark.parametrize(
    "event_id, bits",
    [
        ("000006d8c378af1779d2feebc7603a125d99eca0ccf1085959b307f64e5dd358", 21),  # from the NIP
        ("6bf5b4f434813c64b523d2b0e6efe18f3bd0cbbd0a5effd8ece9e00fd2531996", 1),
        ("002f79be6bd0e9f0d0e0c2ba0d2fc4d5d2a7e1d4fd1d3aa9e7ff1f0b3c2c4d5e", 10),
        ("f" * 64, 0),
        ("0" * 63 + "1", 255),
        ("0" * 64, 256),
    ],
)
def test_13_1_the_difficulty_is_the_number_of_leading_zero_bits(event_id: str, bits: int) -> None:
    assert difficulty(event_id) == bits


def worked(bits: int, *nonce: str) -> Event:
    """An event whose id has `bits` leading zero bits, and a nonce tag."""
    tags = [["nonce", *nonce]] if nonce else []
    return Event(**(unsigned_event(tags=tags) | {"id": f"{1 << (255 - bits):064x}"}))


def test_answer_pow_names_both_numbers() -> None:
    refused = lacks_work(worked(26), 30)

    assert refused is not None
    assert refused.text == "pow: difficulty 26 is less than 30"


@pytest.mark.parametrize("nonce", [(), ("1", "30"), ("1", "31"), ("1",), ("1", ""), ("1", "x"), ("1", "9" * 5_000)])
def test_13_2_a_target_at_the_minimum_and_a_missing_one_are_accepted(nonce: tuple[str, ...]) -> None:
    assert lacks_work(worked(30, *nonce), 30) is None


@pytest.mark.parametrize("aimed", ["0", "29"])
def test_13_2_a_lucky_event_with_a_lower_target_is_refused(aimed: str) -> None:
    refused = lacks_work(worked(40, "1", aimed), 30)

    assert refused is not None
    assert refused.text.startswith("pow: ")
