"""Why the reading of a connection is paused."""

from enum import IntFlag


class Pause(IntFlag):
    """Reasons to pause reading; it resumes when none is left."""

    QUEUE = 1
    APPLICATION = 2
    BACKLOG = 4
    BUFFER = 8
    FAILED = 16
    EARLY = 32
