"""The table of leaks (X-5) for two more ways out: an answer that is sent in pieces, whose texts are fetched by their
keys, and the replay of the log to a subscription whose answer ended after the ring had moved on.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.acceptance.author import Author
from tests.acceptance.client import Client
from tests.acceptance.protocol.leaks import (
    FOR_LOGINS,
    QUESTIONS,
    READERS,
    SETTINGS,
    STORED,
    Json,
    Listener,
    Story,
    narrow_socket,
    readers_of,
)
from tests.acceptance.relay_process import RelayProcess, wait_for
from tests.oracle import naive_end

ASKED = ["ids", "author", "topic", "recipient", "kind beside a public one"]
LARGE = "x" * 380_000
LARGE_NOTES = 3
"""Newer than the secret of a story, and more than the texts of one answer (1 MiB), so that its secret is a key."""
CLASSES = [4, 1_059, 10_013, 1_984]
"""For author and recipient, recipient, author, and for those who log in; test_leaks has all kinds of each class."""
BULK = 24
"""Events of that size: more than the buffers of both ends of a connection hold, and one piece."""


@pytest.fixture(scope="module")
def stories(guarded: RelayProcess) -> dict[int, Story]:
    """Of each class one, published. Each of its two topics has large notes above its small ones."""
    found = {kind: Story(kind) for kind in CLASSES}

    async def publish() -> None:
        async with Client(guarded.ws_url) as writer:
            for story in found.values():
                author, tags = story.people["author"], story.secret["tags"]
                for number in range(LARGE_NOTES):
                    content = f"{number} {LARGE}"
                    story.notes.append(author.event(content, tags=tags, at=1_002 + number))
                    story.plain.append(author.event(content, tags=[["t", story.plain_topic]], at=1_002 + number))
                await writer.publish_all(*story.all)

    asyncio.run(publish())
    return found


def metric(relay: RelayProcess, name: str) -> float:
    """A counter, of all workers."""
    _, page = relay.get("/metrics", {"Authorization": f"Bearer {SETTINGS['RELAY_METRICS_TOKEN']}"})
    return next(float(line.split()[1]) for line in page.splitlines() if line.startswith(f"{name} "))


async def until_more(relay: RelayProcess, name: str, before: float, more: int) -> None:
    """A counter is shown a second later: return once it has risen by `more`."""
    await asyncio.to_thread(wait_for, lambda: metric(relay, name) >= before + more, f"{more} more of {name}")


# -- In pieces ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CLASSES)
async def test_x_5_an_answer_in_pieces_tells_an_event_to_its_readers_alone(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, kind: int
) -> None:
    """Asked by all readers at once, twice."""
    story, before = stories[kind], metric(guarded, "nostr_db_pieces_total")
    listeners = await readers_of(story, guarded, stack)

    for question in (*ASKED, *ASKED):
        filters = QUESTIONS[question](story)
        answers = await asyncio.gather(*[listener.query(*filters) for listener in listeners])
        for reader, listener, answer in zip(READERS, listeners, answers, strict=True):
            assert sum(len(event["content"]) for event in answer.events) > 1_048_576, question
            assert (story.secret["id"] in answer.ids) is story.may_read(listener), (reader, question)
            assert listener.has_heard(story.secret) <= story.may_read(listener), (reader, question)
            listener.heard.clear()
    readers = sum(map(story.may_read, listeners))
    await until_more(guarded, "nostr_db_pieces_total", before, readers * len(ASKED))


@pytest.mark.parametrize("kind", CLASSES)
async def test_x_5_a_hidden_event_takes_no_place_in_an_answer_in_pieces(
    guarded: RelayProcess, stories: dict[int, Story], stack: AsyncExitStack, kind: int
) -> None:
    """Two topics, of which one has a hidden event below the first piece: with each limit the answers are alike."""
    story = stories[kind]
    for listener in (await readers_of(story, guarded, stack))[:2]:
        if story.may_read(listener):
            continue
        for limit in (LARGE_NOTES + 1, LARGE_NOTES + 2, LARGE_NOTES + 3):
            answers = []
            for name, topic in (("hidden", story.topic), ("plain", story.plain_topic)):
                asked: Json = {"#t": [topic], "limit": limit}
                found = await listener.request(name, asked)
                said = listener.hints[name]
                assert said in ([], [naive_end(story.all, [asked], 2_000, 1_000, 500, listener.keys, True, FOR_LOGINS)])
                answers.append(([event["created_at"] for event in found.events], said))
            assert answers[0] == answers[1], limit


# -- From the log ------------------------------------------------------------------------------------------------------


async def test_x_5_the_replay_of_the_log_tells_an_event_to_its_readers_alone(
    guarded: RelayProcess, stack: AsyncExitStack
) -> None:
    """While clients read their stored answers slowly, private events come, and then more than the ring holds. One of
    the clients logs in meanwhile.
    """
    stories = [Story(kind) for kind in STORED]
    writer = await stack.enter_async_context(Client(guarded.ws_url))
    bulk, flood = Author(), Author()
    await writer.publish_all(*[bulk.event(f"{number} {LARGE}", at=1_000 + number) for number in range(BULK)])
    filters = [
        bulk.events,
        {"#t": [story.topic for story in stories]},
        {"#p": [key for story in stories for key in story.recipients]},
        {"authors": [story.secret["pubkey"] for story in stories]},
    ]
    before = metric(guarded, "relay_seam_log_reads_total")
    listeners, late = await slow_readers_of(stories, guarded, stack)
    for listener in (*listeners, late):
        await listener.send("REQ", "slow", *filters)
        await listener.live("slow")  # the answer has begun, so its position is known
    for story in stories:
        await late.send("AUTH", late.login_of(story.people["recipient"]))
        late.people.append(story.people["recipient"])

    await writer.publish_all(*[event for story in stories for event in (story.notes[0], story.secret)])
    await writer.publish_all(*[flood.event(f"{number} {LARGE}") for number in range(LARGE_NOTES)])
    await writer.publish_all(*[story.notes[1] for story in stories])

    public = [event for story in stories for event in story.notes]
    for listener in (*listeners, late):
        assert len((await listener.stored("slow")).events) == BULK - 1
        came = []
        while stories[-1].notes[1] not in came:
            came.append(await listener.live("slow"))
        came += [message[2] for message in await listener.settled() if message[0] == "EVENT"]
        readable = [story.secret for story in stories if story.may_read(listener)]
        assert sorted(event["id"] for event in came) == sorted(event["id"] for event in (*public, *readable))
        assert [event for event in came if event in public] == sorted(public, key=came.index)
        for story in stories:
            assert listener.has_heard(story.secret) is story.may_read(listener), (story.kind, listener.keys)
    await until_more(guarded, "relay_seam_log_reads_total", before, len(listeners) + 1)


async def slow_readers_of(
    stories: list[Story], relay: RelayProcess, stack: AsyncExitStack
) -> tuple[list[Listener], Listener]:
    """A connection with small buffers for each kind of reader, logged in with the keys of all stories; and one that
    has its challenge and has proved nothing.
    """
    found = []
    for reader in (*READERS, "late"):
        people = [person for story in stories for person in story.keys_of(reader)]
        options = {"sock": narrow_socket(relay.port), "max_queue": 1, "ping_interval": None, "close_timeout": 0.1}
        listener = await stack.enter_async_context(Listener(relay.ws_url, people, **options))
        await listener.log_in(*people)
        found.append(listener)
    return found[:-1], found[-1]
