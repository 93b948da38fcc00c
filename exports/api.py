"""Datasets and snapshots for programs: the pages' acts and refusals, as JSON. Leads only."""

from dataclasses import asdict
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
from exports import (
    comparisons,
    datasets,
    previews,
    rule_words,
    signing,
    snapshots,
    withdrawal,
)
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
    """`tags`, `note` and the sign-off are what people say of it; its files hold nothing of them."""

    tags = serializers.ListField(child=serializers.CharField(), required=False)

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
            "tags",
            "note",
            "signed_by",
            "signed",
            "created",
            "finished",
        ]
        read_only_fields = [name for name in fields if name not in ("tags", "note")]


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


def _fetch_snapshot(request: Request, pk: int) -> Snapshot:
    rows = Snapshot.objects.select_related("dataset__workspace", "signed_by")
    return withdrawal.check(access.fetch(_plain(request), rows, Role.LEAD, pk=pk))


class OneSnapshot(GenericAPIView[Snapshot]):
    serializer_class = SnapshotSerializer
    queryset = Snapshot.objects.none()

    @extend_schema(operation_id="snapshots_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        return Response(self.get_serializer(_fetch_snapshot(request, pk)).data)

    @extend_schema(operation_id="snapshots_describe")
    def patch(self, request: Request, pk: int) -> Response:
        """Set `tags` and `note`; what is not sent stays."""
        found = _fetch_snapshot(request, pk)
        given = self.get_serializer(found, data=request.data, partial=True)
        given.is_valid(raise_exception=True)
        tags = given.validated_data.get("tags", found.tags)
        note = given.validated_data.get("note", found.note)
        try:
            signing.describe(snapshot=found, tags=tags, note=note)
        except Refused as refusal:
            raise ValidationError({"detail": str(refusal)}) from None
        _note(request, "version described", found.dataset, f"version {found.number}")
        return Response(self.get_serializer(found).data)


class SnapshotSign(GenericAPIView[Snapshot]):
    serializer_class = SnapshotSerializer
    queryset = Snapshot.objects.none()

    @extend_schema(operation_id="snapshots_sign", request=None)
    def post(self, request: Request, pk: int) -> Response:
        """Sign the version off, as the one who asks."""
        found = _fetch_snapshot(request, pk)
        try:
            signing.sign(snapshot=found, user=request.user)
        except Refused as refusal:
            raise ValidationError({"detail": str(refusal)}) from None
        _note(request, "version signed off", found.dataset, f"version {found.number}")
        return Response(self.get_serializer(found).data)

    @extend_schema(operation_id="snapshots_unsign", responses=SnapshotSerializer)
    def delete(self, request: Request, pk: int) -> Response:
        """Take the sign-off back: the one who signed, or an owner."""
        found = _fetch_snapshot(request, pk)
        role: Role = _plain(request).role  # type: ignore[attr-defined]
        try:
            signing.unsign(snapshot=found, user=request.user, role=role)
        except Refused as refusal:
            raise ValidationError({"detail": str(refusal)}) from None
        _note(request, "sign-off taken back", found.dataset, f"version {found.number}")
        return Response(self.get_serializer(found).data)


class ComparisonSerializer(serializers.Serializer[Any]):
    """From `old` to `new`. `state`: comparing (ask again), done or failed; `rows`: where the whole
    difference is downloaded as JSONL."""

    old = serializers.IntegerField()
    new = serializers.IntegerField()
    state = serializers.CharField()
    reason = serializers.CharField()
    rules = serializers.ListField(child=serializers.DictField())
    summary = serializers.DictField()
    rows = serializers.CharField()


class Compare(GenericAPIView[Snapshot]):
    serializer_class = ComparisonSerializer
    queryset = Snapshot.objects.none()

    @extend_schema(operation_id="snapshots_compare")
    def get(self, request: Request, pk: int, old: int) -> Response:
        """What changed from the snapshot `old` to this one: rows and rules."""
        after, before = _fetch_snapshot(request, pk), _fetch_snapshot(request, old)
        try:
            found = comparisons.of(before, after)
        except Refused as refusal:
            raise ValidationError({"detail": str(refusal)}) from None
        kind = after.dataset.kind
        rules = rule_words.changes(kind, before.selection, after.selection)
        told = {
            "old": before.pk,
            "new": after.pk,
            "state": "failed" if found.reason else "done" if found.diff else "comparing",
            "reason": found.reason,
            "rules": [asdict(rule) for rule in rules],
            "summary": found.diff.summary() if found.diff else {},
            "rows": reverse("exports:compare_rows", args=[after.pk, before.pk]),
        }
        return Response(told, status=200 if found.diff or found.reason else 202)
