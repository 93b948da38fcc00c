"""Imports for programs: send a file, look at what it would bring, start it, watch it, cancel it."""

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import access, activity, importing, mappings
from annotation.api import Lists, project_of
from annotation.errors import Refused
from annotation.fetching import describe
from annotation.forms.imports import web_address
from annotation.models import Import, Role
from annotation.parsing import preview
from annotation.serializers import JsonObject, NotedRow, RefusedRow


class ImportOut(serializers.ModelSerializer[Import]):
    """`report` has the shape of the bulk upsert's; it is empty until the import has ended."""

    report = JsonObject(read_only=True)
    mapping = JsonObject(read_only=True)

    class Meta:
        model = Import
        fields = [
            *("id", "project", "source", "filename", "layout", "mapping", "no_header"),
            *("skip_bad", "state"),
            *("licence", "homepage", "reason", "rows_done", "rows_total", "bytes_done"),
            *("bytes_total", "report", "created", "finished"),
        ]
        read_only_fields = fields


class PreviewOut(serializers.Serializer[Any]):
    """What the first rows come to; `complete`: these are all of them."""

    layout = serializers.CharField()
    columns = serializers.ListField(child=serializers.CharField())
    rows = serializers.IntegerField()
    refused = RefusedRow(many=True)
    notes = NotedRow(many=True)
    complete = serializers.BooleanField()
    error = serializers.CharField()


class ImportWithPreview(ImportOut):
    preview = PreviewOut(allow_null=True, required=False)

    class Meta(ImportOut.Meta):
        fields = [*ImportOut.Meta.fields, "preview"]
        read_only_fields = fields


class ImportIn(serializers.Serializer[Any]):
    file = serializers.FileField(help_text="JSONL, JSON, CSV or Parquet, plain or gzipped.")
    layout = serializers.CharField(
        max_length=40, default="", help_text="Left out, it is recognised by the columns."
    )
    mapping = JsonObject(default=dict, help_text='JSON, a column by field: {"prompt": "question"}')
    mapping_name = serializers.CharField(
        max_length=100, default="", help_text="A mapping that the workspace has saved by this name."
    )
    licence = serializers.CharField(max_length=100, default="", allow_blank=True)
    homepage = serializers.CharField(
        max_length=500, default="", allow_blank=True, validators=[web_address]
    )
    no_header = serializers.BooleanField(
        default=False,
        help_text="A table's first line is a row: its columns are “column 1” and so on, to be "
        "mapped. A saved mapping says it itself.",
    )
    skip_bad = serializers.BooleanField(default=False)
    start = serializers.BooleanField(default=True, help_text="False: look only; start it later.")


class Imports(Lists):
    serializer_class = ImportOut
    parser_classes = [MultiPartParser]

    @extend_schema(operation_id="imports_list", responses=ImportOut(many=True))
    def get(self, request: Request, pk: int) -> Response:
        return self.page(project_of(request, pk, Role.LEAD).imports.all())

    @extend_schema(
        operation_id="imports_create", request=ImportIn, responses={201: ImportWithPreview}
    )
    def post(self, request: Request, pk: int) -> Response:
        """201 with the import, queued; with `start` false, previewed, and what it would bring."""
        project = project_of(request, pk, Role.LEAD)
        sent = ImportIn(data=request.data)
        sent.is_valid(raise_exception=True)
        data = sent.validated_data
        mapping = data["mapping"]
        if data["mapping_name"]:
            if mapping or data["layout"]:
                raise Refused("Give a mapping's name, a mapping or a layout: one of them.")
            saved = mappings.named(project.workspace, data["mapping_name"])
            mapping, data["no_header"] = saved.mapping, saved.no_header
        row = importing.create(
            project=project,
            user=request.user,
            upload=data["file"],
            filename=data["file"].name,
            layout=data["layout"],
            mapping=mapping,
            skip_bad=data["skip_bad"],
            no_header=data["no_header"],
        )
        describe(import_row=row, licence=data["licence"], homepage=data["homepage"])
        if data["start"]:
            try:
                importing.start(row)
            except Refused:
                importing.cancel(row)
                raise
            activity.note(request.user, "import started", row)
            return Response(ImportOut(row).data, status=status.HTTP_201_CREATED)
        found = asdict(preview(row))
        del found["shown"]
        answer = {**ImportOut(row).data, "preview": found}
        return Response(answer, status=status.HTTP_201_CREATED)


def _fetch(request: Request, pk: int) -> Import:
    rows = Import.objects.select_related("project__workspace")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


class OneImport(generics.GenericAPIView[Import]):
    serializer_class = ImportOut

    @extend_schema(operation_id="imports_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        return Response(ImportOut(_fetch(request, pk)).data)


class StartImport(generics.GenericAPIView[Import]):
    serializer_class = ImportOut

    @extend_schema(operation_id="imports_start", request=None)
    def post(self, request: Request, pk: int) -> Response:
        row = importing.start(_fetch(request, pk))
        activity.note(request.user, "import started", row)
        return Response(ImportOut(row).data)


class CancelImport(generics.GenericAPIView[Import]):
    serializer_class = ImportOut

    @extend_schema(operation_id="imports_cancel", request=None)
    def post(self, request: Request, pk: int) -> Response:
        row = _fetch(request, pk)
        importing.cancel(row)
        activity.note(request.user, "import cancelled", row)
        return Response(ImportOut(row).data)
