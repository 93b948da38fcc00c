"""Annotation for programs: the pages' functions and refusals, in JSON.

A stranger gets 404, the wrong role 403, nobody 401, a refused act 400 with its reason."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import generics, status
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import access, activity, projects
from annotation.bulk_upsert import upsert
from annotation.models import Project, Prompt, Role, Stage, Submission, Workspace
from annotation.serializers import (
    ProjectIn,
    ProjectOut,
    PromptOut,
    PromptsIn,
    PromptWithAnswers,
    ReportOut,
    StageOut,
    SubmissionOut,
)
from annotation.text import row_number


class Lists(generics.GenericAPIView):
    """A view whose GET is a list, read by keyset."""

    def page(self, rows: "QuerySet[Any]") -> Response:
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


def project_of(request: Request, pk: int, at_least: Role) -> Project:
    return access.fetch(request, Project.objects.select_related("workspace"), at_least, pk=pk)


class Projects(Lists):
    """The projects of the workspaces that you belong to."""

    serializer_class = ProjectOut

    @extend_schema(operation_id="projects_list", responses=ProjectOut(many=True))
    def get(self, request: Request) -> Response:
        mine = access.mine(request.user)
        return self.page(Project.objects.filter(workspace__in=mine).select_related("workspace"))

    @extend_schema(operation_id="projects_create", request=ProjectIn, responses={201: ProjectOut})
    def post(self, request: Request) -> Response:
        sent = ProjectIn(data=request.data)
        sent.is_valid(raise_exception=True)
        data = sent.validated_data
        workspace = access.fetch(request, Workspace, Role.LEAD, slug=data.pop("workspace"))
        project = projects.create_project(workspace=workspace, author=request.user, **data)
        activity.note(request.user, "project made", project)
        return Response(ProjectOut(project).data, status=status.HTTP_201_CREATED)


class OneProject(generics.GenericAPIView[Project]):
    serializer_class = ProjectOut

    @extend_schema(operation_id="projects_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        return Response(ProjectOut(project_of(request, pk, Role.ANNOTATOR)).data)


class Stages(Lists):
    serializer_class = StageOut

    @extend_schema(operation_id="stages_list", responses=StageOut(many=True))
    def get(self, request: Request, pk: int) -> Response:
        return self.page(project_of(request, pk, Role.ANNOTATOR).stages.all())


class OneStage(generics.GenericAPIView[Stage]):
    serializer_class = StageOut

    @extend_schema(operation_id="stages_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        rows = Stage.objects.select_related("project__workspace")
        return Response(StageOut(access.fetch(request, rows, pk=pk)).data)


class Prompts(Lists):
    """A project's prompts. Add or update many at once: those with a known `external_id` get what
    is new (answers are added, metadata replaced); one whose text somebody has worked on is refused
    by name."""

    serializer_class = PromptOut

    @extend_schema(
        operation_id="prompts_list",
        responses=PromptOut(many=True),
        parameters=[
            OpenApiParameter("external_id", OpenApiTypes.STR, description="Only this one."),
            OpenApiParameter("retired", OpenApiTypes.BOOL, description="Retired ones, too."),
        ],
    )
    def get(self, request: Request, pk: int) -> Response:
        project = project_of(request, pk, Role.REVIEWER)
        rows = Prompt.objects.live().filter(project=project)
        if request.query_params.get("retired") != "true":
            rows = rows.filter(retired=None)
        if external_id := request.query_params.get("external_id"):
            rows = rows.none() if "\0" in external_id else rows.filter(external_id=external_id)
        return self.page(rows)

    @extend_schema(operation_id="prompts_upsert", request=PromptsIn, responses=ReportOut)
    def post(self, request: Request, pk: int) -> Response:
        project = project_of(request, pk, Role.LEAD)
        len(request.body)  # reading it as bytes first holds it to DATA_UPLOAD_MAX_MEMORY_SIZE
        report = upsert(project=project, user=request.user, data=request.data)
        said = f"{report['imported']:,} imported, {report['updated']:,} updated"
        activity.note(request.user, "prompts sent", project, said)
        return Response(report)


class OnePrompt(generics.GenericAPIView[Prompt]):
    serializer_class = PromptWithAnswers

    @extend_schema(operation_id="prompts_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        rows = Prompt.objects.live().select_related("project__workspace")
        prompt = access.fetch(request, rows, Role.REVIEWER, pk=pk)
        return Response(PromptWithAnswers(prompt).data)


_SUBMISSIONS = (
    Submission.objects.live()
    .select_related("stage__project__workspace", "item", "user", "guidelines", "ranking")
    .prefetch_related("responses", "reviews__reviewer")
)


class Submissions(Lists):
    """What people handed in, and what came with files."""

    serializer_class = SubmissionOut

    @extend_schema(
        operation_id="submissions_list",
        responses=SubmissionOut(many=True),
        parameters=[
            OpenApiParameter("stage", OpenApiTypes.INT, description="Of this stage only."),
            OpenApiParameter("state", OpenApiTypes.STR, enum=Submission.State.values),
            OpenApiParameter("review", OpenApiTypes.STR, enum=Submission.Review.values),
        ],
    )
    def get(self, request: Request, pk: int) -> Response:
        project = project_of(request, pk, Role.REVIEWER)
        rows = _SUBMISSIONS.filter(stage__project=project)
        stage, state = request.query_params.get("stage"), request.query_params.get("state")
        if stage:
            number = row_number(stage)
            rows = rows.none() if number is None else rows.filter(stage=number)
        if state:
            rows = rows.filter(state=state) if state in Submission.State.values else rows.none()
        if review := request.query_params.get("review"):
            known = review in Submission.Review.values
            rows = rows.filter(review=review) if known else rows.none()
        return self.page(rows)


class OneSubmission(generics.GenericAPIView[Submission]):
    serializer_class = SubmissionOut

    @extend_schema(operation_id="submissions_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        return Response(
            SubmissionOut(access.fetch(request, _SUBMISSIONS, Role.REVIEWER, pk=pk)).data
        )
