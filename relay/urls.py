"""HTTP paths of the relay."""

from django.urls import path

from relay.views.public import PUBLIC_VIEWS

urlpatterns = [path(route, view) for route, view in PUBLIC_VIEWS.items()]
