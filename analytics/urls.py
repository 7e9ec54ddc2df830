"""HTTP paths of the analytics."""

from django.urls import path

from analytics.views.metrics import metrics

urlpatterns = [
    path("metrics", metrics, name="metrics"),
]
