"""The site map."""

from django.urls import URLPattern, path

app_name = "training"
urlpatterns: list[URLPattern] = []
