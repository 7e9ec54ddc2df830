"""Signed requests: what is taken, and what is refused for which reason."""

from dataclasses import dataclass, field

import pytest
from msgspec import structs

from replication import wire

SECRET = "the secret of both regions: 0123456789abcdef"
OTHER = "another secret altogether: 0123456789abcdefgh"
NOW = 1_800_000_000


@dataclass
class Request:
    """A request from `eu` to `us`, as it arrives."""

    secret: str = SECRET
    method: str = "POST"
    path: str = "/replicate"
    receiver: str = "us"
    body: bytes = b"[]"
    sent_at: int = NOW
    changed: dict[str, str] = field(default_factory=dict)

    def refusal(self, *, valid: tuple[str, ...] = (SECRET,), now: int = NOW, path: str = "/replicate") -> object:
        headers = wire.signed(
            self.secret,
            method=self.method,
            path=self.path,
            sender="eu",
            receiver=self.receiver,
            now=self.sent_at,
            body=self.body,
        )
        headers |= {"content-length": str(len(self.body))} | self.changed
        head, signature = wire.head_of("POST", path, headers)
        return wire.refusal_of(head, signature, local="us", valid=valid, now=now)


def test_a_signed_request_is_taken() -> None:
    assert Request().refusal() is None


def test_during_a_rotation_both_secrets_are_valid() -> None:
    assert Request(secret=OTHER).refusal(valid=(SECRET, OTHER)) is None
    assert Request(secret=SECRET).refusal(valid=(SECRET, OTHER)) is None


@pytest.mark.parametrize(
    "request_",
    [
        Request(secret=OTHER),
        Request(method="PUT"),
        Request(path="/replicate/status"),
        Request(changed={wire.SENDER: "asia"}),
        Request(changed={wire.RECEIVER: "asia"}),
        Request(changed={wire.TIME: str(NOW + 1)}),
        Request(changed={wire.NONCE: "0" * 32}),
        Request(changed={wire.DIGEST: wire.digest_of(b"other")}),
        Request(changed={wire.SIGNATURE: ""}),
        Request(changed={wire.SIGNATURE: "é" * 64}),
        Request(changed={"content-length": "3"}),
    ],
)
def test_a_request_that_was_changed_or_signed_with_another_secret_is_refused(request_: Request) -> None:
    assert request_.refusal() is wire.Refusal.SIGNATURE


def test_a_request_of_an_unknown_region_is_refused() -> None:
    assert Request().refusal(valid=()) is wire.Refusal.SIGNATURE


def test_a_secret_that_can_be_guessed_is_none() -> None:
    assert Request(secret="short").refusal(valid=("short",)) is wire.Refusal.SIGNATURE
    assert Request(secret="").refusal(valid=("",)) is wire.Refusal.SIGNATURE


def test_a_request_for_another_region_is_refused() -> None:
    assert Request(receiver="asia").refusal() is wire.Refusal.REGION


@pytest.mark.parametrize(("skew", "taken"), [(-61, False), (-60, True), (0, True), (60, True), (61, False)])
def test_clocks_may_differ_by_a_minute(skew: int, taken: bool) -> None:
    assert (Request(sent_at=NOW + skew).refusal() is None) is taken


def test_a_body_above_the_bound_is_refused_by_its_length() -> None:
    body = bytes(wire.MAX_BODY_BYTES + 1)
    assert Request(body=body).refusal() is wire.Refusal.BODY


def test_a_nonce_of_another_length_is_refused() -> None:
    head, _ = wire.head_of("POST", "/replicate", {wire.SENDER: "eu", wire.RECEIVER: "us", wire.TIME: str(NOW)})
    head = structs.replace(head, length=0, nonce="short")
    assert wire.refusal_of(head, head.signature(SECRET), local="us", valid=(SECRET,), now=NOW) is wire.Refusal.NONCE
