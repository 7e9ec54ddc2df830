"""The operator's rules that an import follows: the lists, and the operator's own policies (X-2, X-6)."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from relay.background import BackgroundTasks, cancel
from relay.conf import Config
from relay.ingest.judgements import Judgements
from relay.policies.lists import Lists
from relay.protocol.errors import Failed
from relay.services.lists import ListKeeper
from relay.services.operator_policy import OperatorPolicy
from relay.storage.primary import Primary

log = logging.getLogger("relay.transfer")

HEARTBEAT_SECONDS = 0.5
"""A change of the lists is in force within a second, as in a worker."""

CONNECT_SECONDS = 10.0


async def _unchanged() -> None:
    """An import has no open connections that a change of the lists concerns."""


@asynccontextmanager
async def operators_rules(
    conf: Config, tasks: BackgroundTasks, queue_events: int
) -> AsyncIterator[tuple[Lists, Judgements | None]]:
    """The lists, kept at their newest version, and the operator's own policies, with room for `queue_events`.

    Raises Failed if the primary does not answer, ImportError or TypeError if RELAY_POLICY names no function.
    """
    lists, primary = Lists(conf.limits.retention), Primary(conf.write_seconds, tasks)
    keeper = ListKeeper(lists, primary, tasks, _unchanged)
    policy = OperatorPolicy(replace(conf, policy_queue=max(conf.policy_queue, queue_events)), tasks)
    primary.open()
    following = None
    try:
        await primary.until_connected(CONNECT_SECONDS)
        await keeper.begin((await primary.heartbeat()).lists)
        keeper.start()
        following = tasks.service(_follow(primary, keeper), "versions of the lists")
        policy.start()
        yield lists, policy.judgements
    finally:
        await policy.stop()
        await cancel([following])
        await keeper.stop()
        await primary.close()


async def _follow(primary: Primary, keeper: ListKeeper) -> None:
    while True:
        await asyncio.sleep(HEARTBEAT_SECONDS)
        try:
            keeper.follow((await primary.heartbeat()).lists)
        except Failed as error:  # a writing transaction checks bans too, and fails as well while the primary is away
            log.warning("the lists cannot be read: %s", error.message)
