"""One table of leaks (X-5): an event that is not public, each way out of the relay, and who asks.

Two workers share a cache. Every reader asks for the same at the same time, so that what is kept or fetched for one
would be seen by another. What a reader hears is searched as text: for the id, the content and the signature.
"""

import asyncio
import json
import subprocess
import sys
from contextlib import AsyncExitStack
from itertools import product

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client, Ok
from tests.acceptance.protocol.leaks import (
    EPHEMERAL,
    FOR_LOGINS,
    QUESTIONS,
    READERS,
    SETTINGS,
    STORED,
    Json,
    Listener,
    Story,
    readers_of,
)
from tests.acceptance.relay_process import PROJECT, RelayProcess, clean_environment
from tests.oracle import naive_end, naive_readable


@pytest.fixture(scope="module")
def stories(guarded: RelayProcess) -> dict[int, Story]:
    """Of each stored kind one, published."""
    found = {kind: Story(kind) for kind in STORED}

    async def publish() -> None:
        async with Client(guarded.ws_url) as writer:
            for story in found.values():
                await writer.publish_all(*story.all)

    asyncio.run(publish())
    return found


# -- What is stored ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STORED)
async def test_x_5_a_stored_event_is_told_to_its_readers_alone(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, kind: int
) -> None:
    """Asked by all readers at once, and again, so that pages, window, shared cache and shared fetches have answered."""
    story = stories[kind]
    listeners = await readers_of(story, guarded, stack)

    for question, _ in product(QUESTIONS, range(3)):
        filters = QUESTIONS[question](story)
        answers = await asyncio.gather(*[listener.query(*filters) for listener in listeners])
        for reader, listener, answer in zip(READERS, listeners, answers, strict=True):
            found = story.secret["id"] in answer.ids
            # Another relay's reader may have more of the newest; the limits of the other questions are not reached.
            if question != "limit":
                assert found is story.may_read(listener), (reader, question)
            assert story.may_read(listener) or not listener.has_heard(story.secret), (reader, question)
            listener.heard.clear()


@pytest.mark.parametrize("kind", STORED)
async def test_x_5_a_hidden_event_takes_no_place_and_is_not_told_by_the_end(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, kind: int
) -> None:
    """Two topics, of which one has a hidden event between its notes: with each limit the answers are alike."""
    story = stories[kind]
    anonymous, stranger = (await readers_of(story, guarded, stack))[:2]

    for listener in (anonymous, stranger):
        if story.may_read(listener):
            continue
        for limit in (1, 2, 3):
            for since in (0, 1_000, 1_001):
                answers = []
                for name, topic in (("hidden", story.topic), ("plain", story.plain_topic)):
                    asked = {"#t": [topic], "limit": limit, "since": since}
                    found = await listener.request(name, asked)
                    said = listener.hints[name]
                    end = naive_end(story.all, [asked], 2_000, 1_000, 500, listener.keys, True, FOR_LOGINS)
                    assert said in ([], [end])
                    answers.append(([event["created_at"] for event in found.events], said))
                assert answers[0] == answers[1], (limit, since)


@pytest.mark.parametrize("kind", STORED)
async def test_x_5_the_events_of_a_refused_question_are_told_by_nothing(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, kind: int
) -> None:
    """CLOSED is the same for a key that has such events and for one that has none."""
    story = stories[kind]
    (anonymous, stranger, *_) = await readers_of(story, guarded, stack)
    for listener in (anonymous, stranger):
        said = [
            (await listener.request("s", {"kinds": [kind], "authors": [key], "#p": [other]})).closed
            for key, other in (
                (story.secret["pubkey"], story.people["recipient"].pubkey),
                (Author().pubkey, Author().pubkey),
            )
        ]
        assert said[0] == said[1]


@pytest.mark.parametrize("verb", ["COUNT", "NEG-OPEN"])
async def test_x_5_other_questions_are_refused(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, verb: str
) -> None:
    story = stories[1_059]
    (anonymous, *_) = await readers_of(story, guarded, stack)

    await anonymous.send(verb, "s", {"ids": [story.secret["id"]]}, "6100000200")
    await anonymous.settled()

    assert not anonymous.has_heard(story.secret)
    assert not any("count" in text for text in anonymous.heard if '"NOTICE"' not in text)


# -- What is new -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STORED + EPHEMERAL)
async def test_x_5_a_new_event_is_sent_to_its_readers_alone(
    guarded: RelayProcess, stack: AsyncExitStack, kind: int
) -> None:
    """To open subscriptions on both workers, and to those that are opened while it is on its way."""
    story = Story(kind)
    listeners = [*await readers_of(story, guarded, stack), *await readers_of(story, guarded, stack)]
    late = Listener(guarded.ws_url, [])
    await stack.enter_async_context(late)
    filters = [
        {"ids": [story.secret["id"]]},
        {"kinds": [kind, 1], "#t": [story.topic]},
        {"#p": [story.secret["pubkey"]]},
    ]
    for listener in (*listeners, late):
        await listener.request("live", *filters)
    await late.log_in(story.people["recipient"])
    late.people.append(story.people["recipient"])
    writer = await stack.enter_async_context(Client(guarded.ws_url))
    story.secret = story.people["author"].event("now " + story.topic, kind=kind, tags=story.secret["tags"])

    await writer.send("EVENT", story.secret)
    for listener in listeners:
        await listener.send("REQ", "meanwhile", {"#t": [story.topic]})
    assert (await writer.answer_to(story.secret["id"])).accepted
    await writer.publish_all(*story.notes)

    for listener in (*listeners, late):
        while await listener.live("live") != story.notes[-1]:
            pass
        await listener.settled()
        assert listener.has_heard(story.secret) is story.may_read(listener), listener.keys


# -- What publishing tells ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STORED)
async def test_x_5_a_client_that_knows_the_id_alone_learns_nothing_by_publishing(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, kind: int
) -> None:
    """Only who has the whole event, signature included, is told that it is a duplicate."""
    story = stories[kind]
    (anonymous, *_) = await readers_of(story, guarded, stack)
    unknown = story.people["author"].event("unknown", kind=kind, tags=story.secret["tags"])
    changes: list[Json] = [{"content": "guessed"}, {"sig": "0" * 128}, {"created_at": 7}]
    said = [(await anonymous.publish(event | each))[1:] for event in (story.secret, unknown) for each in changes]

    assert said[:3] == said[3:]
    assert not any(accepted for accepted, _ in said)


@pytest.mark.parametrize("kind", STORED)
async def test_x_5_a_deletion_by_another_key_tells_nothing(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, kind: int
) -> None:
    story = stories[kind]
    stranger = story.people["stranger"]
    (anonymous, _, author, *_) = await readers_of(story, guarded, stack)
    for event_id in (story.secret["id"], "0" * 64):
        deletion = stranger.event(event_id, kind=5, tags=[["e", event_id]])
        assert await anonymous.publish(deletion) == Ok(deletion["id"], True, "")
    reader = author if naive_readable(story.secret, author.keys, True, FOR_LOGINS) else None
    if reader is not None:
        assert (await reader.query({"ids": [story.secret["id"]]})).events == [story.secret]


# -- HTTP and files ----------------------------------------------------------------------------------------------------

PAGES = ["/", "/?x=1", "/api/status", "/api/popular", "/api/profiles?pubkey=%s", "/metrics", "/admin/", "/healthz"]


@pytest.mark.parametrize("page", PAGES)
def test_x_5_no_page_shows_an_event_that_is_not_public(
    guarded: RelayProcess, stories: dict[int, Story], page: str
) -> None:
    for story in stories.values():
        recipient = story.people["recipient"].pubkey
        for accept in ("text/html", "application/nostr+json", "application/json"):
            _, text = guarded.get(page.replace("%s", story.secret["pubkey"]), {"Accept": accept}, seconds=10)
            for part in (story.secret["id"], story.secret["content"], story.secret["sig"], recipient):
                assert part not in text


def test_x_5_pages_that_are_kept_do_not_change_by_a_hidden_event(guarded: RelayProcess) -> None:
    """Neither body nor size nor ETag of what any client may fetch: two answers have no difference."""
    people = Story(4)

    def fetched() -> list[tuple[int, str]]:
        paths = ["/", "/api/popular", f"/api/profiles?pubkey={people.secret['pubkey']}"]
        return [guarded.get(path, {"Accept": "application/nostr+json"}, seconds=10) for path in paths]

    async def publish() -> None:
        async with Client(guarded.ws_url) as writer:
            await writer.publish_all(*[Story(kind).secret for kind in STORED])
            await writer.publish_all(people.secret)

    before = fetched()
    asyncio.run(publish())

    assert fetched() == before


def test_x_5_an_export_without_private_kinds_has_none(guarded: RelayProcess, stories: dict[int, Story]) -> None:
    command = [sys.executable, str(PROJECT / "manage.py"), "export", "-", "--quiet"]
    environment = clean_environment({"RELAY_DATA_DIR": str(guarded.data_dir), **SETTINGS})
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=True)
    kinds = {json.loads(line)["kind"] for line in done.stdout.splitlines()}

    assert 1 in kinds
    assert kinds.isdisjoint(STORED + EPHEMERAL)
    assert all(story.secret["content"].encode() not in done.stdout for story in stories.values())
