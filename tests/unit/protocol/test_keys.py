"""Hex texts and signatures. The vectors are those of BIP-340."""

import pytest

from relay.protocol.keys import is_hex_32, is_signed_by

PUBKEY = "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9"
MESSAGE = "0" * 64
SIGNATURE = (
    "e907831f80848d1069a5371b402410364bdf1c5f8307b0084c55f1ce2dca8215"
    "25f66a4a85ea8b71e482a74f382d2ce5ebeee8fdb2172f477df4900d310536c0"
)
NOT_ON_THE_CURVE = "eefdea4cdb677750a420fee807eacf21eb9898ae79b9768766e4faa04a2d4a34"


def test_the_signature_of_bip_340_vector_0_is_right() -> None:
    assert is_signed_by(PUBKEY, SIGNATURE, MESSAGE)


@pytest.mark.parametrize(
    "pubkey, signature, message",
    [
        pytest.param(PUBKEY, SIGNATURE, "0" * 63 + "1", id="another message"),
        pytest.param(PUBKEY, SIGNATURE[:-1] + "1", MESSAGE, id="a changed signature"),
        pytest.param(PUBKEY, "0" * 128, MESSAGE, id="a signature of zeros"),
        pytest.param(PUBKEY, "f" * 128, MESSAGE, id="a signature beyond the field"),
        pytest.param(PUBKEY, SIGNATURE[:-2], MESSAGE, id="a short signature"),
        pytest.param(PUBKEY, "", MESSAGE, id="no signature"),
        pytest.param(PUBKEY, "x" * 128, MESSAGE, id="a signature that is not hex"),
        pytest.param(NOT_ON_THE_CURVE, SIGNATURE, MESSAGE, id="a pubkey off the curve"),
        pytest.param("0" * 64, SIGNATURE, MESSAGE, id="a pubkey of zeros"),
        pytest.param("f" * 64, SIGNATURE, MESSAGE, id="a pubkey beyond the field"),
        pytest.param("", SIGNATURE, MESSAGE, id="no pubkey"),
        pytest.param("ab", SIGNATURE, MESSAGE, id="a short pubkey"),
    ],
)
def test_a_wrong_signature_is_false_and_never_raises(pubkey: str, signature: str, message: str) -> None:
    assert is_signed_by(pubkey, signature, message) is False


@pytest.mark.parametrize("text", ["0123456789abcdef" * 4, "0" * 64])
def test_64_lower_case_hex_digits_are_hex(text: str) -> None:
    assert is_hex_32(text)


@pytest.mark.parametrize(
    "text", ["", "a" * 63, "a" * 65, "A" * 64, "g" * 64, " " * 64, "é" * 64, "é" * 32, "0x" + "a" * 62, "a" * 63 + "\n"]
)
def test_01_e08_anything_else_is_not(text: str) -> None:
    assert not is_hex_32(text)
