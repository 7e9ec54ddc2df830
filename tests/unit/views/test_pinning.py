"""After a write in the admin, its browser reads from the primary for a while."""

from typing import Any

import pytest
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from relay import routers
from relay.views.pinning import COOKIE, PIN_SECONDS, PinAfterWrites


def said(request: HttpRequest) -> HttpResponse:
    return HttpResponse("pinned" if routers._pinned.get() else "free")


@pytest.fixture
def middleware(settings: Any) -> PinAfterWrites:
    settings.REPLICAS = (("replica_1", 1, ""),)
    return PinAfterWrites(said)


def test_a_write_is_pinned_and_so_are_the_reads_after_it(middleware: PinAfterWrites, rf: RequestFactory) -> None:
    response: Any = middleware(rf.post("/admin/relay/event/"))
    assert response.content == b"pinned"
    assert response.cookies[COOKIE]["max-age"] == PIN_SECONDS
    rf.cookies[COOKIE] = "1"
    after: Any = middleware(rf.get("/admin/relay/event/"))
    assert after.content == b"pinned"
    assert COOKIE not in after.cookies


@pytest.mark.parametrize("method, path", [("get", "/admin/"), ("head", "/admin/"), ("post", "/api/profiles")])
def test_nothing_else_is_pinned(middleware: PinAfterWrites, rf: RequestFactory, method: str, path: str) -> None:
    response: Any = middleware(getattr(rf, method)(path))
    assert response.content == b"free"
    assert COOKIE not in response.cookies


def test_without_replicas_the_middleware_is_left_out(settings: Any) -> None:
    settings.REPLICAS = ()
    with pytest.raises(MiddlewareNotUsed):
        PinAfterWrites(said)
