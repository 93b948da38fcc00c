"""The API's site map."""

from django.urls import URLPattern, path

urlpatterns: list[URLPattern] = []
