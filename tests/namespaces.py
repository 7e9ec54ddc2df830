"""Network namespaces without names: each lives as long as something of it is open; none is left. They need root.

A namespace belongs to a thread, so a socket of one is made in a thread of its own and used anywhere.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CLONE_NEWNET = 0x40000000
SECONDS = 30.0
T = TypeVar("T")

_libc = ctypes.CDLL(None, use_errno=True)


class NotAllowed(Exception):
    """network namespaces need root, and the programs ip, tc and nsenter (iproute2, util-linux)"""


class Namespace:
    """A network of its own, with a loopback interface."""

    def __init__(self) -> None:
        """Raises NotAllowed."""
        if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "tc", "nsenter"))):
            raise NotAllowed(NotAllowed.__doc__)
        self._file = _in_a_thread(_made)
        self.run("ip", "link", "set", "lo", "up")

    @property
    def path(self) -> str:
        """Names it to `ip`, `nsenter` and `entered`, while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def command(self, program: str, *words: str) -> list[str]:
        """The command that runs a program in it."""
        return [shutil.which("nsenter") or "nsenter", f"--net={self.path}", "--", program, *words]

    def run(self, *words: str) -> None:
        """Run a program in it that must succeed. Raises CalledProcessError."""
        subprocess.run(self.command(*words), check=True, capture_output=True, timeout=SECONDS)

    def call(self, work: Callable[[], T]) -> T:
        """Call `work` in it; sockets that it makes belong to it."""
        return entered(self.path, work)

    @contextlib.contextmanager
    def within(self) -> Iterator[None]:
        """The calling thread, and the processes that it starts meanwhile, are in it."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _must(_libc.setns(self._file, CLONE_NEWNET))
            yield
        finally:
            _must(_libc.setns(home, CLONE_NEWNET))
            os.close(home)

    def close(self) -> None:
        """It ends with the last process in it."""
        os.close(self._file)


def entered(path: str, work: Callable[[], T]) -> T:
    """Call `work` in the namespace of that path. Raises OSError."""

    def there() -> T:
        file = os.open(path, os.O_RDONLY)
        try:
            _must(_libc.setns(file, CLONE_NEWNET))
        finally:
            os.close(file)
        return work()

    return _in_a_thread(there)


def _in_a_thread(work: Callable[[], T]) -> T:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def _made() -> int:
    _must(_libc.unshare(CLONE_NEWNET))
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _must(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
