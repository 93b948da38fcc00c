"""The site map."""

from django.urls import URLPattern, path

app_name = "annotation"
urlpatterns: list[URLPattern] = []
