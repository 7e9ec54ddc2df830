"""django-prometheus's middleware, with one fix: there the method of a request is a label as the client has sent it.

Rule: no client chooses the value of a label; each one is a line of /metrics for ever.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django_prometheus.middleware import PrometheusAfterMiddleware


class HttpMetrics(PrometheusAfterMiddleware):  # type: ignore[misc]  # has no types
    """The innermost middleware: counts by view, status and method."""

    def label_metric(
        self, metric: Any, request: HttpRequest, response: HttpResponse | None = None, **labels: str
    ) -> Any:
        """The metric with its labels; a method that HTTP does not know is `<invalid method>`."""
        if "method" in labels:
            labels["method"] = self._method(request)
        return super().label_metric(metric, request, response, **labels)
