"""Signing in under attack: attempts count before their password is hashed, and few passwords are hashed at a time.

PBKDF2 takes 0.5 s of a core. django-axes keeps the failures and answers with 429; it counts a failure after the hash,
so counting is done here.
"""

import logging
import threading
from typing import Any

from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.handlers.proxy import AxesProxyHandler
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest

from relay.services.signins import Attempt, count_attempt, forget_failures, take_back
from relay.transport.counters import counters
from relay.transport.occasional_log import OccasionalLog

HASHED_AT_ONCE = 1
"""Passwords that one process hashes at a time."""
WAITING = 4
"""More attempts that may wait for it; the next one gets 503."""
WAIT_SECONDS = 10.0

_room = threading.BoundedSemaphore(HASHED_AT_ONCE + WAITING)
_hashing = threading.BoundedSemaphore(HASHED_AT_ONCE)
_locked = OccasionalLog(logging.getLogger("relay.signins"), "%d lock-outs after failed sign-ins, the last one of %s")


class CountedSignIns(AxesStandaloneBackend):  # type: ignore[misc]  # axes has no types
    """The first authentication backend: counts the attempt, or denies it. Authenticates no user."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> None:
        """Return None to go on to the password. Raises PermissionDenied when the network is locked out."""
        if request is None or username is None:
            raise PermissionDenied("a sign-in has a request and a user name")
        AxesProxyHandler.update_request(request)
        attempt = _attempt(request, username)
        try:
            number = count_attempt(attempt, settings.AXES_FAILURE_LIMIT)
        except OperationalError:
            _deny_as_busy(request)
        if number is None:
            counters.refused("sign_in_locked")
            request.axes_locked_out = True  # type: ignore[attr-defined]
            raise PermissionDenied("locked out")
        request.sign_in = (attempt, number)  # type: ignore[attr-defined]


class BoundedModelBackend(ModelBackend):
    """Django's users, with a bound of passwords that are hashed at a time."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        """The user, or None. Raises PermissionDenied, after which the client gets 503, when too many wait."""
        if not _enter():
            if request is None:
                raise PermissionDenied("too many sign-ins at once")
            take_back(request.sign_in[0])  # type: ignore[attr-defined]
            _deny_as_busy(request)
        try:
            return super().authenticate(request, username, password, **kwargs)
        finally:
            _hashing.release()
            _room.release()


class CountedFailures(AxesDatabaseHandler):  # type: ignore[misc]
    """axes' handler without its counting, which `CountedSignIns` has done."""

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
    ) -> None:
        """Django's signal: the network is locked out if this was its last attempt."""
        if request is None or not hasattr(request, "sign_in"):
            return
        attempt, number = request.sign_in
        request.axes_credentials = credentials  # type: ignore[attr-defined]
        if number >= settings.AXES_FAILURE_LIMIT and not getattr(request, "axes_locked_out", False):
            request.axes_locked_out = True  # type: ignore[attr-defined]
            _locked.count(attempt.network)
            user_locked_out.send("axes", request=request, username=attempt.username, ip_address=attempt.network)

    def reset_user_attempts(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> int:
        """axes, after a sign-in: forget the failures with this user name."""
        return forget_failures(request.sign_in[0]) if hasattr(request, "sign_in") else 0


def _attempt(request: Any, username: str) -> Attempt:
    return Attempt(
        request.axes_ip_address,
        username[:255],
        request.axes_user_agent,
        request.axes_path_info,
        request.axes_http_accept,
        request.axes_attempt_time,
    )


def _enter() -> bool:
    if not _room.acquire(blocking=False):
        return False
    if _hashing.acquire(timeout=WAIT_SECONDS):
        return True
    _room.release()
    return False


def _deny_as_busy(request: Any) -> None:
    """Have axes' middleware answer with `lockout.locked_out`, which says 503. Raises PermissionDenied."""
    counters.refused("sign_in_busy")
    request.axes_locked_out = request.sign_in_busy = True
    raise PermissionDenied("too many sign-ins at once")
