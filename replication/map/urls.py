"""The path of the map."""

from django.contrib import admin
from django.urls import path

from replication.map.page import region_map

app_name = "regions"
urlpatterns = [path("map/", admin.site.admin_view(region_map), name="map")]
