"""What HTTP adds to the metrics: no client chooses the value of a label."""

from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from prometheus_client import REGISTRY

from analytics.exposition_http import HttpMetrics


def answered(method: str) -> float | None:
    """How many requests of a method were counted."""
    labels = {"view": "<unnamed view>", "method": method}
    return REGISTRY.get_sample_value("django_http_requests_latency_seconds_by_view_method_count", labels)


def respond(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("here you are")


def test_a_method_of_http_is_counted_by_its_name() -> None:
    before = answered("GET") or 0
    HttpMetrics(respond)(RequestFactory().get("/"))

    assert answered("GET") == before + 1


def test_methods_that_http_does_not_know_are_counted_as_one() -> None:
    before = answered("<invalid method>") or 0
    for invented in ("BREW", "PROPFIND", "X" * 100):
        HttpMetrics(respond)(RequestFactory().generic(invented, "/"))

    assert answered("<invalid method>") == before + 3
    assert answered("BREW") is None
