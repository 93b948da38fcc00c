"""The API's site map."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
