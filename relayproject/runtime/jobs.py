"""The Celery worker: a pool of four threads in one process, which costs a quarter of two forked children.

`python -m relayproject.runtime.jobs`, started by the supervisor; SIGTERM lets running jobs end.
"""

import sys
import warnings

from celery.platforms import SecurityWarning

from relayproject.celery import app
from relayproject.runtime import metrics_folder

CONCURRENCY = 4
"""So that a roll-up that has much to do and two slow refreshes leave room for what has a minute to keep."""


def main() -> None:
    warnings.simplefilter("ignore", SecurityWarning)  # about root: no job is unpickled, no job runs a stranger's code
    metrics_folder.count_as("jobs")
    from analytics.exposition_tasks import watch_tasks

    watch_tasks()
    worker = app.Worker(
        pool="threads",
        concurrency=CONCURRENCY,
        loglevel="WARNING",
        quiet=True,
        redirect_stdouts=False,
        without_gossip=True,
        without_mingle=True,
    )
    worker.start()
    sys.exit(worker.exitcode)


if __name__ == "__main__":
    main()
