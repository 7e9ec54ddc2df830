"""The Celery worker of what follows the log for peer regions: its jobs take a thread for a minute each.

`python -m relayproject.runtime.pushes`, started by the supervisor where this relay is a region.
"""

from relayproject.database_connections import PUSHES
from relayproject.runtime.jobs import run
from replication.job_queue import QUEUE


def main() -> None:
    """As relayproject.runtime.jobs, on the queue of the replication."""
    run("replication", PUSHES, QUEUE)


if __name__ == "__main__":
    main()
