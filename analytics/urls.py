"""HTTP paths of the analytics."""

from django.urls import path

from analytics.views.metrics import metrics
from analytics.views.popular import popular_events

urlpatterns = [
    path("metrics", metrics, name="metrics"),
    path("api/popular", popular_events, name="popular"),
]
