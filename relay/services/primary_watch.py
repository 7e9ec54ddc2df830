"""Whether the primary is gone, and then whether it is gone for all instances or for this process alone.

While it is gone for all, nothing can be acknowledged, and memory may answer. What says that it answers others: the bus
brings changes or names a later epoch, or a replica goes on, which a process that has lost the bus as well still sees.
"""

import asyncio
import logging
from collections.abc import Callable

log = logging.getLogger("relay.follow")

MISSED = 2
"""The number of heartbeats in a row without an answer after which the primary is gone: at once if it refuses
connections, after 3.9 s if it is frozen or the network drops what is sent. One alone may be this process's own pause.
"""
STRAGGLER_SECONDS = 1.0
"""What the bus brings, or a replica has, later than this after the primary was found gone was committed since, by a
process that reaches it.
"""


class PrimaryWatch:
    """What the heartbeats of one process have found. Needs a running loop."""

    def __init__(
        self,
        *,
        on_gone: Callable[[], None] = lambda: None,
        on_alone: Callable[[], None] = lambda: None,
        on_back: Callable[[], None] = lambda: None,
        replicated: Callable[[], int] = lambda: 0,
    ) -> None:
        """`on_gone` is called when the primary does not answer any more, `on_alone` when it is found to answer others
        meanwhile, `on_back` when it does again. `replicated` gives the newest change that a replica is known to have.
        """
        self.is_up = False
        self.gone_since = 0.0
        """When it was found gone, in seconds of the loop's clock, unless it `is_up`."""
        self.is_alone = False
        """It is gone for this process, and answers others."""
        self.missed = 0
        """Heartbeats in a row without an answer."""
        self._answers_others = False
        self._is_passed = False  # others follow a later epoch
        self._replicated_before = -1
        self._on_gone = on_gone
        self._on_alone = on_alone
        self._on_back = on_back
        self._replicated = replicated

    def begin(self) -> None:
        """It answers, and an epoch begins."""
        self.is_up = True
        self._is_passed = False
        self._forget()

    @property
    def is_gone_for_all(self) -> bool:
        """True while it is gone, and nothing says that it answers others: then nothing can be acknowledged."""
        return not (self.is_up or self.is_alone or self._answers_others or self._is_passed)

    def answered(self) -> None:
        """A heartbeat was answered."""
        self.missed = 0
        if not self.is_up:
            self.is_up = True
            self._forget()
            log.warning("the primary answers again")
            self._on_back()

    def miss(self, newest: int) -> None:
        """A heartbeat was not answered. `newest`: the newest change that this process knows."""
        self.missed += 1
        if self.missed >= MISSED and self.is_up:
            self.is_up = False
            self.gone_since = asyncio.get_running_loop().time()
            log.error("the primary does not answer: events are refused, and memory and replicas answer queries")
            self._on_gone()
            return
        self._look_at_replicas(newest)
        if self._answers_others and not self.is_alone:
            self.is_alone = True
            log.error("the primary answers other processes: clients are sent to other instances")
            self._on_alone()

    def later_epoch(self) -> None:
        """The bus names a later epoch of the store: another server was promoted, and others reach it, perhaps before
        this process finds that the old one is gone.
        """
        self._is_passed = True
        if not self.is_up:
            self._answers_others = True

    def went_on(self) -> None:
        """There is a change that another process can only have of the primary."""
        if self._is_long_gone:
            self._answers_others = True

    @property
    def _is_long_gone(self) -> bool:
        return not self.is_up and asyncio.get_running_loop().time() > self.gone_since + STRAGGLER_SECONDS

    def _look_at_replicas(self, newest: int) -> None:
        """One that lags behind goes on as well: what it reaches twice must be newer than all that is known here."""
        if not self._is_long_gone:
            return
        position = self._replicated()
        if newest < self._replicated_before < position:
            self.went_on()
        self._replicated_before = position

    def _forget(self) -> None:
        self.missed = 0
        self.is_alone = self._answers_others = False
        self._replicated_before = -1
