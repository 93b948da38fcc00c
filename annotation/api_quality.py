"""A stage's quality for programs: what the page shows, in JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import access, quality_page
from annotation.models import Role, Stage


class QualityOut(serializers.Serializer[Any]):
    """`result` is of the last measurement, empty if there is none yet; `people` stands in it for
    leads only. Annotators are the numbers of users, or names of imported raters."""

    state = serializers.CharField(help_text="queued, running, done or failed")
    computed = serializers.DateTimeField(allow_null=True)
    seconds = serializers.FloatField(allow_null=True)
    reason = serializers.CharField(help_text="Why it failed.")
    result = serializers.DictField()


class StageQuality(generics.GenericAPIView[Stage]):
    """Agreement question by question, shares, and (for leads) each annotator's figures. A small
    stage is measured now; of a large one it is the last measurement, and a new one is begun."""

    serializer_class = QualityOut

    @extend_schema(operation_id="stages_quality", responses=QualityOut)
    def get(self, request: Request, pk: int) -> Response:
        rows = Stage.objects.select_related("project__workspace")
        stage = access.fetch(request, rows, Role.REVIEWER, pk=pk)
        found = quality_page.current(stage)
        found.result = quality_page.readable(found.result, request.role >= Role.LEAD)
        return Response(QualityOut(found).data)
