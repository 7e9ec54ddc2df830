"""The dashboard's JSON endpoints, below /admin/ so that its session and CSP apply."""

from django.urls import path

from analytics.dashboard.page import figures, history

app_name = "dashboard"
urlpatterns = [path("figures/", figures, name="figures"), path("history/", history, name="history")]
