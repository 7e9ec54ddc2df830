"""What the script of the first page asks, under the admin's path: so the admin's policy and session hold."""

from django.urls import path

from analytics.dashboard.page import figures, past

app_name = "dashboard"
urlpatterns = [path("figures/", figures, name="figures"), path("history/", past, name="history")]
