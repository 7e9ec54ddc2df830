"""nostr-sdk (rust-nostr) through its Python package."""

import asyncio
import contextlib
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Self

import nostr_sdk

from tests.acceptance.clients.real_client import Json, Refused

PATIENCE = timedelta(seconds=10)


class NostrSdkClient:
    """One nostr_sdk.Client with one relay."""

    def __init__(self, url: str) -> None:
        self._url = nostr_sdk.RelayUrl.parse(url)
        self._keys = nostr_sdk.Keys.generate()
        authenticator: Any = nostr_sdk.SignerAuthenticator(self._keys)  # logs in whenever the relay asks
        self._client = nostr_sdk.ClientBuilder().authenticator(authenticator).build()
        self._following: list[asyncio.Task[None]] = []

    @classmethod
    async def connected(cls, url: str) -> Self:
        nostr_sdk.uniffi_set_event_loop(asyncio.get_running_loop())  # to sign logins on
        client = cls(url)
        await client._client.add_relay(client._url)
        output = await client._client.try_connect(PATIENCE)
        assert not output.failed, output
        return client

    @property
    def pubkey(self) -> str:
        return str(self._keys.public_key().to_hex())

    async def publish(
        self, *, kind: int = 1, content: str = "", tags: Sequence[Sequence[str]] = (), created_at: int | None = None
    ) -> Json:
        builder = nostr_sdk.EventBuilder(nostr_sdk.Kind(kind), content)
        builder = builder.tags([nostr_sdk.Tag.parse(list(tag)) for tag in tags])
        if created_at is not None:
            builder = builder.custom_created_at(nostr_sdk.Timestamp.from_secs(created_at))
        event = builder.finalize(self._keys)
        output = await self._client.send_event(event, ok_timeout=PATIENCE)
        if not output.success:
            raise Refused(str(output.failed))
        return _json(event)

    async def wrap(self, recipient: str, text: str) -> Json:
        receiver = nostr_sdk.PublicKey.parse(recipient)
        rumor = nostr_sdk.EventBuilder(nostr_sdk.Kind(14), text).finalize_unsigned(self._keys.public_key())
        event = await nostr_sdk.nip59_make_gift_wrap_async(self._keys, receiver, rumor)
        output = await self._client.send_event(event, ok_timeout=PATIENCE)
        if not output.success:
            raise Refused(str(output.failed))
        return _json(event)

    async def unwrap(self, wrap: Json) -> str:
        event = nostr_sdk.Event.from_json(json.dumps(wrap))
        unwrapped = await nostr_sdk.UnwrappedGift.from_gift_wrap_async(self._keys, event)
        return str(unwrapped.rumor().content())

    async def log_in(self) -> None:
        """It does so by itself."""

    async def query(self, filter: Json) -> list[Json]:
        return [_json(event) for event in await self._client.fetch_events(self._target(filter), PATIENCE)]

    async def follow(self, filter: Json) -> "asyncio.Queue[Json]":
        notifications = self._client.notifications()
        opened = await self._client.subscribe(self._target(filter))
        assert not opened.failed, opened
        events: asyncio.Queue[Json] = asyncio.Queue()
        live = asyncio.Event()
        self._following.append(asyncio.create_task(_hand_on(notifications, opened.id, events, live)))
        await asyncio.wait_for(live.wait(), PATIENCE.total_seconds())
        return events

    async def close(self) -> None:
        for task in self._following:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._client.shutdown()

    def _target(self, filter: Json) -> nostr_sdk.ReqTarget:
        return nostr_sdk.ReqTarget.single(self._url, [nostr_sdk.Filter.from_json(json.dumps(filter))])


async def _hand_on(
    notifications: nostr_sdk.ClientNotificationStream,
    subscription_id: str,
    events: "asyncio.Queue[Json]",
    live: asyncio.Event,
) -> None:
    """Every EVENT of the subscription as it arrives, doubles included."""
    while (notification := await notifications.next()) is not None:
        if not notification.is_MESSAGE():
            continue
        message = notification.message.as_enum()
        if message.is_EVENT_MSG() and message.subscription_id == subscription_id:
            events.put_nowait(_json(message.event))
        elif message.is_END_OF_STORED_EVENTS() and message.subscription_id == subscription_id:
            live.set()


def _json(event: nostr_sdk.Event) -> Json:
    assert event.verify()
    wire: Json = json.loads(event.as_json())
    return wire
