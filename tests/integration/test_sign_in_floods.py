"""Many sign-ins at once: as many passwords are hashed as the limit allows, whatever else is requested."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event, Lock

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.hashers import MD5PasswordHasher
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from pytest_django import Settings

from relay.admin import sign_in

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = 5
PASSWORD = "a right password"
COME_BACK = 503
GUESSER = "203.0.113.5"


class Hasher(MD5PasswordHasher):
    """A quick hash that counts, and waits where a test says so."""

    lock = Lock()
    hashed = 0
    running = 0
    most = 0
    go_on = Event()

    def verify(self, password: str, encoded: str) -> bool:
        with self.lock:
            Hasher.hashed += 1
            Hasher.running += 1
            Hasher.most = max(Hasher.most, Hasher.running)
        self.go_on.wait(10)
        with self.lock:
            Hasher.running -= 1
        return super().verify(password, encoded)


@pytest.fixture(autouse=True)
def operator(settings: Settings) -> User:
    settings.PASSWORD_HASHERS = [f"{__name__}.Hasher"]
    settings.AXES_FAILURE_LIMIT = LIMIT
    user = User.objects.create_superuser("operator", password=PASSWORD)
    Hasher.hashed = Hasher.most = 0
    Hasher.go_on.set()
    return user


def sign_in_from(address: str, password: str) -> int:
    try:
        form = {"username": "operator", "password": password}
        return Client().post("/admin/login/", form, REMOTE_ADDR=address).status_code
    finally:
        connection.close()


def at_once(attempts: list[tuple[str, str]]) -> list[int]:
    """The statuses of attempts (address, password) that begin together; those that are told to come back do so."""
    found = _at_once(attempts)
    again = [attempt for attempt, status in zip(attempts, found, strict=True) if status == COME_BACK]
    return [status for status in found if status != COME_BACK] + (at_once(again) if again else [])


def _at_once(attempts: list[tuple[str, str]]) -> list[int]:
    barrier = Barrier(len(attempts))

    def one(attempt: tuple[str, str]) -> int:
        barrier.wait(10)
        return sign_in_from(*attempt)

    with ThreadPoolExecutor(len(attempts)) as pool:
        return list(pool.map(one, attempts))


def test_of_many_attempts_at_once_as_many_are_hashed_as_the_limit_says() -> None:
    statuses = at_once([(GUESSER, f"wrong {number}") for number in range(30)])

    assert Hasher.hashed == LIMIT
    assert sorted(set(statuses)) == [200, 429]
    assert sign_in_from(GUESSER, PASSWORD) == 429
    assert Hasher.hashed == LIMIT
    assert sum(AccessAttempt.objects.values_list("failures_since_start", flat=True)) == LIMIT


def test_addresses_of_one_ipv6_network_count_together() -> None:
    at_once([(f"2001:db8:1:2::{number}", "wrong") for number in range(1, 20)])

    assert Hasher.hashed == LIMIT
    assert sign_in_from("2001:db8:1:3::1", PASSWORD) == 302


def test_one_password_is_hashed_at_a_time_few_wait_and_the_others_are_told_to_come_back() -> None:
    Hasher.go_on.clear()
    waiting = sign_in.HASHED_AT_ONCE + sign_in.WAITING
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(sign_in_from, f"203.0.113.{number}", PASSWORD) for number in range(12)]
        refused: list[Future[int]] = []
        while len(refused) < 12 - waiting:
            refused = [each for each in asked if each.done()]
        assert [each.result() for each in refused] == [503] * (12 - waiting)
        Hasher.go_on.set()
        assert sorted(each.result() for each in asked) == [302] * waiting + [503] * (12 - waiting)
    assert Hasher.most == sign_in.HASHED_AT_ONCE
    assert not AccessAttempt.objects.exists(), "an attempt that was not checked, or was right, counts no longer"
