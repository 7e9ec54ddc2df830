"""nostr-tools (npm) in a Node.js process, spoken to over a pipe (node/driver.mjs)."""

import asyncio
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.acceptance.clients.real_client import Json, Refused

NODE = Path(__file__).with_name("node")
INSTALL_NODE = "apt-get install nodejs npm (Node.js 18 or newer)"
TIMEOUT_SECONDS = 30.0


class NotInstalled(Exception):
    """The text says how to install it."""


def install() -> None:
    """Bring what package-lock.json names into node/node_modules. Raises NotInstalled with the command to type."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise NotInstalled(f"nostr-tools needs Node.js: {INSTALL_NODE}")
    installed, wanted = NODE / "node_modules" / ".package-lock.json", NODE / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= wanted.stat().st_mtime:
        return
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode != 0:
        raise NotInstalled(f"nostr-tools could not be installed: cd {NODE} && npm ci\n{done.stderr[-500:]}")
    installed.touch()


class NostrToolsClient:
    """One Node.js process with one connection."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.pubkey = ""
        self._process = process
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._following: dict[int, asyncio.Queue[Json]] = {}
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def connected(cls, url: str) -> Self:
        client = cls(
            await asyncio.create_subprocess_exec(
                "node",
                "driver.mjs",
                cwd=NODE,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=2**26,
            )
        )
        client.pubkey = (await client._ask("connect", url=url))["pubkey"]
        return client

    async def publish(
        self, *, kind: int = 1, content: str = "", tags: Sequence[Sequence[str]] = (), created_at: int | None = None
    ) -> Json:
        template = {
            "kind": kind,
            "content": content,
            "tags": [list(tag) for tag in tags],
            "created_at": int(time.time()) if created_at is None else created_at,
        }
        event: Json = await self._ask("publish", template=template)
        return event

    async def wrap(self, recipient: str, text: str) -> Json:
        event: Json = await self._ask("wrap", recipient=recipient, text=text)
        return event

    async def unwrap(self, wrap: Json) -> str:
        return str(await self._ask("unwrap", wrap=wrap))

    async def log_in(self) -> None:
        await self._ask("log_in")

    async def query(self, filter: Json) -> list[Json]:
        events: list[Json] = await self._ask("query", filter=filter)
        return events

    async def follow(self, filter: Json) -> "asyncio.Queue[Json]":
        number = next(self._numbers)
        events = self._following[number] = asyncio.Queue()
        await self._ask("follow", subscription=number, filter=filter)
        return events

    async def information(self, url: str) -> Json:
        """The NIP-11 document, fetched by the library from the relay's ws:// address."""
        document: Json = await self._ask("information", url=url)
        return document

    async def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), 5.0)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader

    async def _ask(self, name: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "name": name, **parameters}).encode() + b"\n")
        return await asyncio.wait_for(answer, TIMEOUT_SECONDS)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if "live" in message:
                self._following[message["live"]].put_nowait(message["event"])
            elif "error" in message:
                self._answers.pop(message["id"]).set_exception(Refused(message["error"]))
            else:
                self._answers.pop(message["id"]).set_result(message["value"])
