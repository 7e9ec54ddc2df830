"""HTTP paths of the relay."""

from django.urls import path

from relay.views.doors import PUBLIC

urlpatterns = [path(route, view) for route, view in PUBLIC.items()]
