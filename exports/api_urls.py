"""The API's site map."""

from django.urls import URLPattern, path

from exports import api

urlpatterns: list[URLPattern] = [
    path("workspaces/<slug:slug>/datasets/", api.Datasets.as_view(), name="api-datasets"),
    path("datasets/<int:pk>/", api.OneDataset.as_view(), name="api-dataset"),
    path("datasets/<int:pk>/preview/", api.DatasetPreview.as_view(), name="api-dataset-preview"),
    path("datasets/<int:pk>/snapshots/", api.Snapshots.as_view(), name="api-snapshots"),
    path("snapshots/<int:pk>/", api.OneSnapshot.as_view(), name="api-snapshot"),
    path("snapshots/<int:pk>/sign/", api.SnapshotSign.as_view(), name="api-snapshot-sign"),
    path("snapshots/<int:pk>/compare/<int:old>/", api.Compare.as_view(), name="api-compare"),
]
