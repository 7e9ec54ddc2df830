"""Operators' sign-ins: counting the attempts of a network, and how long they are kept.

Rule: an attempt counts before its password is checked. Counted after it, as django-axes does, 60 attempts at once were
all checked, with a limit of 5.
"""

from datetime import datetime, timedelta

from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F, QuerySet, Sum
from msgspec import Struct

from relay.storage.named_lock import lock_until_commit

KEPT = timedelta(days=90)
"""How long sign-ins and their addresses are kept."""
LOCK_SECONDS = 3.0


class Attempt(Struct, frozen=True):
    """One attempt to sign in. `network` is an IPv4 address, an IPv6 /64 network, or None if there is none.

    `at` has a time zone. Texts have at most 255 characters.
    """

    network: str | None
    username: str
    user_agent: str
    path: str
    accept: str
    at: datetime

    def rows(self) -> "QuerySet[AccessAttempt]":
        """The row that counts this attempt, if there is one."""
        rows: QuerySet[AccessAttempt] = AccessAttempt.objects.filter(
            ip_address=self.network, username=self.username, user_agent=self.user_agent
        )
        return rows


def count_attempt(attempt: Attempt, limit: int) -> int | None:
    """Count the attempt as failed, over all instances; `forget_failures` is called after a success.

    Returns the attempts of its network within the lock-out time, this one included; None if there were `limit` before:
    then it is not counted, and its password must not be checked. Raises django.db.OperationalError.
    """
    with transaction.atomic():
        lock_until_commit(f"sign-in {attempt.network}", LOCK_SECONDS)
        failed = AccessAttempt.objects.filter(ip_address=attempt.network)
        failed.filter(attempt_time__lte=attempt.at - settings.AXES_COOLOFF_TIME).delete()
        before = int(failed.aggregate(number=Sum("failures_since_start"))["number"] or 0)
        if before >= limit:
            return None
        if not attempt.rows().update(failures_since_start=F("failures_since_start") + 1, attempt_time=attempt.at):
            AccessAttempt.objects.create(
                ip_address=attempt.network,
                username=attempt.username,
                user_agent=attempt.user_agent,
                path_info=attempt.path,
                http_accept=attempt.accept,
                attempt_time=attempt.at,
                get_data="",
                post_data="",
                failures_since_start=1,
            )
        return before + 1


def forget_failures(attempt: Attempt) -> int:
    """The password was right: delete what its network has failed with this user name; returns how many rows.

    Failures with other names stay. Otherwise an operator could guess the password of another one without end, by
    signing in now and then.
    """
    rows = AccessAttempt.objects.filter(ip_address=attempt.network, username=attempt.username)
    return int(rows.delete()[0])


def take_back(attempt: Attempt) -> None:
    """The password of a counted attempt was not checked: it counts no longer."""
    with transaction.atomic():
        attempt.rows().update(failures_since_start=F("failures_since_start") - 1)
        attempt.rows().filter(failures_since_start__lte=0).delete()


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
