"""When anti-entropy runs by itself: recent events every few minutes, everything once a day and when it is asked for."""

import logging
import threading
import time
from collections.abc import Iterable

from replication.models import Region
from replication.reconcile.report import Report
from replication.reconcile.session import FAULTS, Busy, Options, reconcile

log = logging.getLogger("relay.replication")

RECENT_SECONDS = 6 * 3_600
"""How far back the frequent run compares; what is dated earlier waits for the daily one."""

SETTLING_SECONDS = 60
"""Events of the last minute are on their way by push."""

RUN_SECONDS = 240.0
"""Of a frequent run with one peer; it goes on five minutes later."""

WHOLE_SECONDS = 3_600.0
"""Of a whole run, whatever is left of it."""


AT_ONCE = 2
"""How many of the four threads of the Celery worker may compare."""

_room = threading.BoundedSemaphore(AT_ONCE)


def reconcile_recent() -> int:
    """Compare the last hours with every peer, and everything with those that it is asked for; returns healed events."""
    return _with_each(Region.peers().filter(repair_asked_at=None), _recent()) + reconcile_asked()


def reconcile_whole() -> int:
    """Compare everything with every peer; returns how many events were healed."""
    return _with_each(Region.peers(), _whole("daily"))


def reconcile_asked() -> int:
    """Compare everything with the peers of which push cannot say what they lack."""
    healed = 0
    for peer in Region.peers().exclude(repair_asked_at=None):
        asked_at = peer.repair_asked_at
        report = _one(peer, _whole(peer.repair_reason or "asked for"))
        if report is not None and report.is_whole:
            healed += report.received + report.sent
            Region.objects.filter(pk=peer.pk, repair_asked_at=asked_at).update(repair_asked_at=None, repair_reason="")
    return healed


def _recent() -> Options:
    now = int(time.time())
    since, until = now - RECENT_SECONDS, now - SETTLING_SECONDS
    return Options(since=since, until=until, parallel=2, processes=1, seconds=RUN_SECONDS, reason="recent events")


def _whole(reason: str) -> Options:
    return Options(parallel=2, processes=1, seconds=WHOLE_SECONDS, reason=reason)


def _with_each(peers: Iterable[Region], options: Options) -> int:
    reports = [_one(peer, options) for peer in peers]
    return sum(report.received + report.sent for report in reports if report is not None)


def _one(peer: Region, options: Options) -> Report | None:
    """A run; None if it failed or too much is under way. A peer that is away does not keep the others from theirs."""
    if not _room.acquire(blocking=False):
        return None
    try:
        report = reconcile(peer, options)
    except Busy:
        return None
    except FAULTS as fault:
        log.warning("anti-entropy with %s failed: %s", peer.name, str(fault).strip() or fault.__doc__)
        return None
    finally:
        _room.release()
    if report.received or report.sent:
        log.info("anti-entropy with %s: %d events received, %d sent", peer.name, report.received, report.sent)
    return report
