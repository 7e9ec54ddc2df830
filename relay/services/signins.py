"""What is kept of operators' sign-ins, and for how long."""

from datetime import datetime, timedelta

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session

KEPT = timedelta(days=90)
"""How long sign-ins and their addresses are kept."""


def forget_old(now: datetime) -> int:
    """Delete failures that no longer count, sign-ins older than KEPT and sessions that have ended by `now` (with a time
    zone).

    Returns how many rows were deleted.
    """
    cool_off: timedelta = settings.AXES_COOLOFF_TIME
    old = (
        AccessAttempt.objects.filter(attempt_time__lt=now - cool_off),
        AccessLog.objects.filter(attempt_time__lt=now - KEPT),
        Session.objects.filter(expire_date__lt=now),
    )
    return sum(int(rows.delete()[0]) for rows in old)
