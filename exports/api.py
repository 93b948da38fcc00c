"""Datasets and snapshots for programs: the pages' acts and refusals, as JSON. Leads only."""

from typing import Any, cast

from django.http import HttpRequest
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import access, activity
from annotation.errors import Refused
from annotation.models import Role
from exports import datasets, previews, snapshots, withdrawal
from exports.models import Dataset, Preview, Snapshot
from exports.rules import SelectionError

READ_ONLY: dict[str, Any] = {"read_only": True}


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """`selection` holds the rules; docs/datasets.md lists them."""

    workspace = serializers.SlugRelatedField(slug_field="slug", **READ_ONLY)
    selection = serializers.JSONField()

    class Meta:
        model = Dataset
        fields = ["id", "workspace", "name", "slug", "kind", "selection", "created"]
        read_only_fields = ["slug", "created"]


class PreviewSerializer(serializers.ModelSerializer[Preview]):
    """What the rules give, by the last look; `state` says whether a newer one is under way."""

    class Meta:
        model = Preview
        fields = ["state", "reason", "computed", "result"]
        read_only_fields = fields


class SnapshotSerializer(serializers.ModelSerializer[Snapshot]):
    class Meta:
        model = Snapshot
        fields = [
            "id",
            "dataset",
            "number",
            "state",
            "reason",
            "progress",
            "selection",
            "sha256",
            "counts",
            "dropped",
            "stats",
            "created",
            "finished",
        ]
        read_only_fields = fields


def _plain(request: Request) -> HttpRequest:
    """access.py asks for no more than the user, which DRF's request has too."""
    return cast(HttpRequest, request)


def _note(request: Request, what: str, dataset: Dataset, detail: str = "") -> None:
    path = reverse("exports:dataset", args=[dataset.pk])
    activity.note(request.user, what, dataset, detail, path)


def _fetch(request: Request, pk: int) -> Dataset:
    rows = Dataset.objects.select_related("workspace")
    return access.fetch(_plain(request), rows, Role.LEAD, pk=pk)


class Datasets(GenericAPIView[Dataset]):
    serializer_class = DatasetSerializer
    queryset = Dataset.objects.none()

    @extend_schema(operation_id="datasets_list", responses=DatasetSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        workspace = access.workspace(_plain(request), slug, Role.LEAD)
        page = self.paginate_queryset(workspace.datasets.select_related("workspace"))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="datasets_create")
    def post(self, request: Request, slug: str) -> Response:
        workspace = access.workspace(_plain(request), slug, Role.LEAD)
        given = self.get_serializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data["selection"]
        if not isinstance(values, dict):
            raise ValidationError({"selection": ["An object of rules is wanted."]})
        try:
            dataset = datasets.create(
                workspace=workspace,
                name=given.validated_data["name"],
                kind=given.validated_data["kind"],
                values=values,
                user=request.user,
            )
        except SelectionError as error:
            raise ValidationError({name: [text] for name, text in error.errors.items()}) from None
        _note(request, "dataset made", dataset)
        return Response(self.get_serializer(dataset).data, status=201)


class OneDataset(GenericAPIView[Dataset]):
    serializer_class = DatasetSerializer
    queryset = Dataset.objects.none()

    @extend_schema(operation_id="datasets_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        return Response(self.get_serializer(_fetch(request, pk)).data)


class DatasetPreview(GenericAPIView[Preview]):
    serializer_class = PreviewSerializer
    queryset = Preview.objects.none()

    @extend_schema(operation_id="datasets_preview")
    def get(self, request: Request, pk: int) -> Response:
        """Asks for a new look where the last one is old; poll until `state` is done."""
        preview = previews.refresh(dataset=_fetch(request, pk))
        return Response(self.get_serializer(preview).data)


class Snapshots(GenericAPIView[Snapshot]):
    serializer_class = SnapshotSerializer
    queryset = Snapshot.objects.none()

    @extend_schema(operation_id="snapshots_list", responses=SnapshotSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        page = self.paginate_queryset(_fetch(request, pk).snapshots.all())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(operation_id="snapshots_create", request=None)
    def post(self, request: Request, pk: int) -> Response:
        """Freeze: the next version, queued; poll it until `state` is ready or failed."""
        try:
            snapshot = snapshots.request(dataset=_fetch(request, pk), user=request.user)
        except Refused as refusal:
            raise ValidationError({"detail": str(refusal)}) from None
        _note(request, "dataset frozen", snapshot.dataset, f"version {snapshot.number}")
        return Response(self.get_serializer(snapshot).data, status=202)


class OneSnapshot(GenericAPIView[Snapshot]):
    serializer_class = SnapshotSerializer
    queryset = Snapshot.objects.none()

    @extend_schema(operation_id="snapshots_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        rows = Snapshot.objects.select_related("dataset__workspace")
        found = withdrawal.check(access.fetch(_plain(request), rows, Role.LEAD, pk=pk))
        return Response(self.get_serializer(found).data)
