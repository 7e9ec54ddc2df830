"""A log line at most once a minute, with how often it happened: what clients can cause must not fill the disk."""

import logging
from time import monotonic

INTERVAL_SECONDS = 60.0


class OccasionalLog:
    """Warns at the first occurrence and then at most once a minute. `text` has %d for the number of occurrences."""

    def __init__(self, logger: logging.Logger, text: str) -> None:
        self._logger = logger
        self._text = text
        self._number = 0
        self._next = 0.0

    def count(self, *arguments: object) -> None:
        """It has happened once more; `arguments` follow the number in the text."""
        self._number += 1
        now = monotonic()
        if now >= self._next:
            self._logger.warning(self._text, self._number, *arguments)
            self._number, self._next = 0, now + INTERVAL_SECONDS
