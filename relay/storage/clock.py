"""The time by which events are removed for good."""

import logging
import time

from django.db import connection

log = logging.getLogger("relay.tasks")

MOST_SECONDS = 30
"""Between the clocks of two machines that NTP keeps are milliseconds."""


def removal_time() -> int:
    """Unix seconds, by the earlier of two clocks: this machine's and the database's.

    One that runs ahead would remove what is to be kept, and nothing brings that back; one that is behind removes later.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
        (of_database,) = cursor.fetchone()
    mine = time.time()
    if abs(mine - of_database) > MOST_SECONDS:
        log.warning("the clock of this machine is %d s ahead of the database's: one is wrong", mine - of_database)
    return int(min(mine, of_database))
