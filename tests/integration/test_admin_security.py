"""Who may sign in to the admin, what a guesser meets, and what every answer says to the browser."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from axes.models import AccessAttempt, AccessLog
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from relay.admin.action_log import log_action
from relay.admin.lockout import network_of
from relay.services.signins import KEPT, forget_old
from relay.views.security import ADMIN_POLICY, DEFAULT_POLICY

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
LOGIN = "/admin/login/"
PASSWORD = "a right password"
GUESSER = "203.0.113.5"


@pytest.fixture(autouse=True)
def _quick(settings: Settings) -> None:
    """Passwords are checked fast, and three failures are enough."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.AXES_FAILURE_LIMIT = 3


@pytest.fixture
def administrator() -> User:
    return User.objects.create_superuser("operator", password=PASSWORD)


@pytest.fixture
def operator(administrator: User, client: Client) -> Client:
    client.force_login(administrator)
    return client


def sign_in(password: str, address: str = GUESSER, name: str = "operator") -> int:
    """The status of an answer to a sign-in from `address`: 302 when it worked."""
    answer = Client().post(LOGIN, {"username": name, "password": password}, REMOTE_ADDR=address)
    return answer.status_code


def guess(times: int = 3, address: str = GUESSER) -> list[int]:
    return [sign_in(f"wrong {number}", address) for number in range(times)]


def test_repeated_failures_lock_the_address_out_even_with_the_right_password(administrator: User) -> None:
    assert guess() == [200, 200, 429]
    assert sign_in(PASSWORD) == 429


def test_the_lock_out_page_says_what_happened_and_for_how_long(administrator: User) -> None:
    guess()

    answer = Client().post(LOGIN, {"username": "operator", "password": PASSWORD}, REMOTE_ADDR=GUESSER)

    assert "Try again in 15 minutes" in answer.content.decode()
    assert (answer["Retry-After"], answer["Cache-Control"]) == ("900", "no-store")
    assert answer["Content-Security-Policy"] == ADMIN_POLICY


def test_other_addresses_are_not_concerned_nor_is_the_operators_name(administrator: User) -> None:
    guess()

    assert sign_in(PASSWORD, "203.0.113.6") == 302


def test_names_that_change_do_not_help_a_guesser(administrator: User) -> None:
    assert [sign_in("wrong", name=f"name {number}") for number in range(3)][-1] == 429


def test_an_operator_who_signs_in_does_not_make_guesses_at_another_name_forgotten(administrator: User) -> None:
    User.objects.create_user("viewer", password=PASSWORD, is_staff=True)
    assert guess(2) == [200, 200]

    assert sign_in(PASSWORD, name="viewer") == 302

    assert sign_in("wrong 2") == 429


def test_an_operator_who_signs_in_has_the_own_failures_forgotten(administrator: User) -> None:
    assert guess(2) == [200, 200]
    assert sign_in(PASSWORD) == 302

    assert guess(2) == [200, 200]


def test_a_lock_out_ends(administrator: User) -> None:
    guess()
    AccessAttempt.objects.update(attempt_time=timezone.now() - timedelta(minutes=16))

    assert sign_in(PASSWORD) == 302


def test_an_operator_ends_a_lock_out_by_deleting_the_failures(operator: Client) -> None:
    guess()
    for attempt in AccessAttempt.objects.all():
        operator.post(f"/admin/axes/accessattempt/{attempt.pk}/delete/", {"post": "yes"})

    assert sign_in(PASSWORD) == 302
    assert LogEntry.objects.count() == 1


def test_guesses_during_a_lock_out_write_nothing(administrator: User) -> None:
    guess()
    before = list(AccessAttempt.objects.values())

    guess(5)

    assert list(AccessAttempt.objects.values()) == before


def test_no_password_that_was_tried_is_kept(administrator: User) -> None:
    guess()

    assert "wrong" not in str(list(AccessAttempt.objects.values()))


@pytest.mark.parametrize(
    "address, network",
    [
        ("203.0.113.5", "203.0.113.5"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("::ffff:203.0.113.5", "203.0.113.5"),
        ("", None),
        ("proxy.example", None),
    ],
)
def test_of_ipv6_a_subscribers_network_counts_as_one_address(address: str, network: str | None) -> None:
    assert network_of(RequestFactory().get("/", REMOTE_ADDR=address)) == network


def test_what_is_kept_of_sign_ins_has_an_end(administrator: User) -> None:
    guess()
    assert sign_in(PASSWORD, "203.0.113.6") == 302

    assert forget_old(timezone.now()) == 0
    assert forget_old(timezone.now() + KEPT + timedelta(hours=1)) == 3

    assert (AccessAttempt.objects.count(), AccessLog.objects.count(), Session.objects.count()) == (0, 0, 0)


@pytest.mark.parametrize("path", ["/admin/axes/accessattempt/", "/admin/axes/accesslog/", "/admin/admin/logentry/"])
def test_sign_ins_and_actions_are_seen_and_not_changed(operator: Client, path: str) -> None:
    guess(1)
    sign_in(PASSWORD)

    assert operator.get(path).status_code == 200
    assert operator.post(f"{path}add/", {"username": "x"}).status_code == 403


def test_every_action_is_in_the_log_and_shown_as_text(operator: Client, administrator: User) -> None:
    request = RequestFactory().post("/")
    request.user = administrator
    log_action(request, "<b>cache</b>", "cleared <i>12</i> entries")

    html = operator.get("/admin/admin/logentry/").content.decode()

    assert "&lt;b&gt;cache&lt;/b&gt;" in html
    assert "cleared &lt;i&gt;12&lt;/i&gt; entries" in html


@pytest.mark.parametrize("path", ["/", "/nowhere", "/health", "/static/relay/icon.svg"])
def test_only_the_admin_may_evaluate_expressions(client: Client, path: str) -> None:
    policy = client.get(path)["Content-Security-Policy"]

    assert "unsafe" not in policy
    assert "default-src 'none'" in policy


def test_the_admin_has_the_policy_that_its_look_needs(client: Client) -> None:
    assert client.get(LOGIN)["Content-Security-Policy"] == ADMIN_POLICY
    assert client.get("/nowhere")["Content-Security-Policy"] == DEFAULT_POLICY


def production(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """`manage.py` as on a public machine, in a process of its own."""
    given = {
        "SECRET_KEY": "0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        "RELAY_URL": "wss://relay.example.com",
        "RELAY_TRUSTED_PROXIES": "10.0.0.0/8",
        **changed,
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        check=False,
        cwd=ROOT,
        env=os.environ | given,
        capture_output=True,
        text=True,
    )


PROBE = """
from django.conf import settings
from django.test import Client
told = Client().get("/admin/login/", secure=True, headers={"host": "relay.example.com"})
plain = Client().get("/admin/login/", headers={"host": "relay.example.com"})
print(told["Strict-Transport-Security"], told.cookies["csrftoken"]["secure"], settings.SESSION_COOKIE_SECURE)
print(plain.status_code, plain["Location"], Client().get("/health").status_code, settings.CSRF_TRUSTED_ORIGINS)
"""


def test_production_settings_pass_the_deployment_checks() -> None:
    told = production("check", "--deploy", "--fail-level", "WARNING")

    assert told.returncode == 0, told.stderr


def test_behind_tls_cookies_are_secure_and_plain_http_leads_to_tls() -> None:
    told = production("shell", "--no-imports", "-c", PROBE)

    assert told.stdout.splitlines() == [
        "max-age=31536000 True True",
        "301 https://relay.example.com/admin/login/ 200 ['https://relay.example.com']",
    ], told.stderr


def test_tls_without_a_trusted_proxy_is_warned_of() -> None:
    told = production("check", "--deploy", RELAY_TRUSTED_PROXIES="")

    assert "relay.W001" in told.stderr


def test_plain_ws_is_warned_of_by_the_names_of_variables_that_exist() -> None:
    told = production("check", "--deploy", RELAY_URL="ws://relay.example.com", RELAY_OTHER="1")

    assert "relay.W002" in told.stderr
    assert "relay.W003" in told.stderr
    assert "security.W" not in told.stderr
