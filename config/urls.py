"""The three apps' site maps, people's doors, health, and the API."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from annotation.health import healthz

api = [
    path("", include("annotation.api_urls")),
    path("", include("exports.api_urls")),
    path("", include("training.api_urls")),
    path("schema/", SpectacularAPIView.as_view(), name="schema"),
    path("docs/", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="api-docs"),
]
urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("admin/", admin.site.urls),
    path("api/", include(api)),
    path("", include("annotation.auth_urls")),
    path("", include("annotation.urls")),
    path("", include("exports.urls")),
    path("", include("training.urls")),
]
