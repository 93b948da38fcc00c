"""The API's site map."""

from django.urls import URLPattern, path

from training import api

urlpatterns: list[URLPattern] = [
    path("workspaces/<slug:slug>/runs/", api.Runs.as_view(), name="api-runs"),
    path("runs/<int:pk>/", api.OneRun.as_view(), name="api-run"),
    path("runs/<int:pk>/cancel/", api.CancelRun.as_view(), name="api-run-cancel"),
    path("runs/<int:pk>/resume/", api.ResumeRun.as_view(), name="api-run-resume"),
    path("runs/<int:pk>/events/", api.RunEvents.as_view(), name="api-run-events"),
    path("runs/<int:pk>/evaluations/", api.RunEvaluations.as_view(), name="api-run-evaluations"),
    path(
        "snapshots/<int:pk>/evaluations/",
        api.SnapshotEvaluations.as_view(),
        name="api-snapshot-evaluations",
    ),
]
