"""HTTP paths of the admin, the analytics and the relay."""

from django.contrib import admin
from django.urls import include, path

admin.autodiscover()

urlpatterns = [
    path("admin/dashboard/", include("analytics.dashboard.urls")),
    path("admin/regions/", include("replication.map.urls")),
    path("admin/", admin.site.urls),
    path("", include("analytics.urls")),
    path("", include("relay.urls")),
]
