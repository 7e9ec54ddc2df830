"""The operator's policy as a Python function (RELAY_POLICY="package.module.function").

A coroutine function runs in the loop, where it must not block; any other function runs in threads of its own,
where it may.
"""

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from typing import Any

from relay.policies.source import Source
from relay.policies.verdict import EventView, Verdict, verdict_of
from relay.protocol.event import Event, StoredEvent

NAME = "python_policy"
AT_ONCE = 16
"""Calls at a time in one worker; a call that hangs keeps its place until it ends."""


def function_named(path: str) -> Callable[..., Any]:
    """The function of a dotted path. Raises ImportError or TypeError, with the path."""
    module, _, name = path.rpartition(".")
    if not module:
        raise ImportError(f"{path} is no dotted path of a function")
    found = getattr(import_module(module), name, None)
    if not callable(found):
        raise TypeError(f"{path} is no function")
    return found  # type: ignore[no-any-return]


class PythonPolicy:
    """Calls the function for each event, AT_ONCE at a time."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._is_async = inspect.iscoroutinefunction(function)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._threads = None if self._is_async else ThreadPoolExecutor(AT_ONCE, "relay-policy")

    async def __call__(self, event: Event, _stored: StoredEvent, source: Source) -> Verdict:
        """The verdict. Raises what the function raises, RuntimeError for `sys.exit()`, which would end the worker."""
        try:
            return verdict_of(await self._call(EventView.of(event), source))
        except SystemExit as end:
            raise RuntimeError(f"the policy called sys.exit({end.code!r})") from None

    async def _call(self, view: EventView, source: Source) -> Any:
        if self._threads is None:
            async with self._room:
                return await self._function(view, source)
        loop = asyncio.get_running_loop()
        await self._room.acquire()
        call = self._threads.submit(self._function, view, source)
        call.add_done_callback(lambda _: self._free(loop))
        return await asyncio.wrap_future(call)

    def _free(self, loop: asyncio.AbstractEventLoop) -> None:
        """A thread is free, also of a call whose time was over: until then nothing waits in the threads' own queue,
        which has no bound.
        """
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._room.release)

    def stop(self) -> None:
        """Wait for no thread."""
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
