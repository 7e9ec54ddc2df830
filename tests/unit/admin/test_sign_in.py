"""What a right password makes forgotten."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import RequestFactory

from relay.admin import sign_in
from relay.admin.sign_in import CountedFailures
from relay.services.signins import Attempt


def test_a_sign_in_makes_the_failures_of_its_own_attempt_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[Attempt] = []

    def forget(attempt: Attempt) -> int:
        forgotten.append(attempt)
        return 1

    monkeypatch.setattr(sign_in, "forget_failures", forget)
    attempt = Attempt("203.0.113.5", "viewer", "browser", "/admin/login/", "", datetime.now(UTC))
    request: Any = RequestFactory().post("/admin/login/")
    request.sign_in = (attempt, 2)

    assert CountedFailures().reset_user_attempts(request, {"username": "viewer"}) == 1
    assert forgotten == [attempt]
