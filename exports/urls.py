"""The site map."""

from django.urls import URLPattern, path

app_name = "exports"
urlpatterns: list[URLPattern] = []
