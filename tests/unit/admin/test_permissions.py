"""Views of the admin that do not go through Django's own, which asks for the permission."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.test import RequestFactory

from relay.models import Change


def test_the_log_tells_nothing_to_an_operator_who_may_not_see_it() -> None:
    request: Any = RequestFactory().get("/admin/relay/change/1/change/")
    request.user = SimpleNamespace(has_perm=lambda _permission: False)
    with pytest.raises(PermissionDenied):
        admin.site._registry[Change].change_view(request, "1")
