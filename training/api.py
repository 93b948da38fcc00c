"""Runs for programs: the pages' acts and refusals, as JSON. Leads only."""

import re
from typing import Any, cast

from django.http import HttpRequest
from django.urls import reverse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import access, activity
from annotation.errors import Refused
from annotation.models import Role
from annotation.text import row_number
from exports.models import Snapshot
from training import preflights, results, runs
from training.inputs import Checkpoint, Given
from training.models import Run, RunEvent, RunInput
from training.planning import Plan, plan
from training.recipes.configs import RECIPES, ConfigError, turned

UNDER_WAY = (
    "Its preflight is under way, or waits until others of the workspace have ended: send the same "
    "again after `Retry-After` seconds."
)
CHECKPOINT = re.compile(r"([0-9]{1,9})@([0-9]{1,9})")  # run@step


class RunInputSerializer(serializers.ModelSerializer[RunInput]):
    """`source`: the run whose artifact it is. `path`: a local folder or a Hub id."""

    class Meta:
        model = RunInput
        fields = ["name", "kind", "snapshot", "source", "path", "sha256"]
        read_only_fields = fields


class RunSerializer(serializers.ModelSerializer[Run]):
    workspace = serializers.SlugRelatedField(slug_field="slug", read_only=True)
    inputs = RunInputSerializer(many=True, read_only=True)
    directory = serializers.CharField(read_only=True)

    class Meta:
        model = Run
        fields = [
            "id",
            "workspace",
            "name",
            "recipe",
            "config",
            "inputs",
            "state",
            "reason",
            "attempt",
            "phase",
            "step",
            "total",
            "seconds_left",
            "result",
            "directory",
            "created",
            "started",
            "finished",
        ]
        read_only_fields = fields


class NewRunSerializer(serializers.Serializer[Any]):
    """`inputs`: name -> the number of a snapshot (snapshot) or of a run (init, reward, model,
    against), or for `model` and `against` a local model's name or folder, or a Hub id. An
    evaluation may take a checkpoint as `init`: "12@40" is step 40 of run 12. `preset`: quick or
    sensible."""

    recipe = serializers.ChoiceField(choices=[n for n, r in RECIPES.items() if r.dataset])
    inputs = serializers.DictField(child=serializers.CharField())
    config = serializers.DictField(required=False, default=dict)
    preset = serializers.ChoiceField(choices=["quick", "sensible"], default="sensible")
    name = serializers.CharField(required=False, default="", allow_blank=True, max_length=200)


class RunEventSerializer(serializers.ModelSerializer[RunEvent]):
    """`superseded`: past the checkpoint from which a later attempt resumed."""

    class Meta:
        model = RunEvent
        fields = ["id", "attempt", "seq", "time", "kind", "step", "data", "superseded"]
        read_only_fields = fields


def _plain(request: Request) -> HttpRequest:
    """access.py asks for no more than the user, which DRF's request has too."""
    return cast(HttpRequest, request)


def _note(request: Request, what: str, run: Run) -> None:
    page = reverse("training:run", args=[run.pk])
    activity.note(request.user, what, run, run.recipe, page)


def _fetch(request: Request, pk: int) -> Run:
    rows = Run.objects.select_related("workspace").prefetch_related("inputs")
    return access.fetch(_plain(request), rows, Role.LEAD, pk=pk)


def _rows(inputs: dict[str, str]) -> dict[str, Given]:
    """Numbers as the rows that they mean; whether those may be used is create_run's to say."""
    found: dict[str, Given] = {}
    for name, value in inputs.items():
        number = row_number(value)
        if name == "snapshot":
            rows = Snapshot.objects.select_related("dataset__workspace")
            snapshot = None if number is None else rows.filter(pk=number).first()
            if snapshot is None:
                raise Refused("There is no such snapshot in this workspace.")
            found[name] = snapshot
        elif number is not None:
            found[name] = _run(number)
        elif at := CHECKPOINT.fullmatch(value):
            found[name] = Checkpoint(_run(int(at[1])), int(at[2]))
        else:
            found[name] = value
    return found


def _run(number: int) -> Run:
    run = Run.objects.filter(pk=number).first()
    if run is None:
        raise Refused(f"There is no run {number} in this workspace.")
    return run


def _under_way(wanted: Plan) -> str:
    """How far the preflight is; "" where it has passed, or there is nothing to look at yet. Raises
    Refused with what it has against the run; after a minute it is looked at anew."""
    if wanted.waits:
        return ""
    row = preflights.known(wanted)
    if row is None or not preflights.is_fresh(row):
        row = preflights.ask(wanted)
    if row.is_busy:
        first = preflights.ahead(row)
        return row.phase or "waiting for a worker" + (f", {first} before it" if first else "")
    preflights.check(row)
    return ""


def _later(detail: str, seconds: int) -> Response:
    return Response({"detail": detail}, status=409, headers={"Retry-After": str(seconds)})


class Runs(GenericAPIView[Run]):
    serializer_class = RunSerializer
    queryset = Run.objects.none()

    @extend_schema(operation_id="runs_list", responses=RunSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        workspace = access.workspace(_plain(request), slug, Role.LEAD)
        rows = workspace.runs.select_related("workspace").prefetch_related("inputs")
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        operation_id="runs_create",
        request=NewRunSerializer,
        responses={202: RunSerializer, 409: OpenApiResponse(description=UNDER_WAY)},
    )
    def post(self, request: Request, slug: str) -> Response:
        """Queue a run whose preflight has passed. Else the preflight is asked for and the answer
        is 409: send the same again in a moment. What the preflight refuses is refused here."""
        workspace = access.workspace(_plain(request), slug, Role.LEAD)
        given = NewRunSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        values = given.validated_data
        preset = runs.preset_values(values["recipe"], values["preset"])
        asked: dict[str, Any] = {
            "workspace": workspace,
            "recipe": values["recipe"],
            "config": turned(preset, values["config"]),
            "inputs": _rows(values["inputs"]),
        }
        try:
            if words := _under_way(plan(**asked)):
                return _later(
                    f"Its preflight is under way ({words}): send it again in a moment.", 2
                )
            run = runs.create_run(user=request.user, name=values["name"], **asked)
        except preflights.Busy as error:
            return _later(str(error), 10)
        except ConfigError as error:
            raise ValidationError({name: [text] for name, text in error.errors.items()}) from None
        _note(request, "run started", run)
        return Response(self.get_serializer(run).data, status=202)


class OneRun(GenericAPIView[Run]):
    serializer_class = RunSerializer
    queryset = Run.objects.none()

    @extend_schema(operation_id="runs_retrieve")
    def get(self, request: Request, pk: int) -> Response:
        return Response(self.get_serializer(_fetch(request, pk)).data)


class CancelRun(GenericAPIView[Run]):
    serializer_class = RunSerializer
    queryset = Run.objects.none()

    @extend_schema(operation_id="runs_cancel", request=None)
    def post(self, request: Request, pk: int) -> Response:
        """At once where nothing works on it, else at its next checkpoint (state: stopping)."""
        run = runs.cancel(_fetch(request, pk), by=str(request.user))
        _note(request, "run cancelled", run)
        return Response(self.get_serializer(run).data)


class ResumeRun(GenericAPIView[Run]):
    serializer_class = RunSerializer
    queryset = Run.objects.none()

    @extend_schema(operation_id="runs_resume", request=None)
    def post(self, request: Request, pk: int) -> Response:
        run = runs.resume(_fetch(request, pk), by=str(request.user))
        _note(request, "run resumed", run)
        return Response(self.get_serializer(run).data)


class RunEvents(GenericAPIView[RunEvent]):
    serializer_class = RunEventSerializer
    queryset = RunEvent.objects.none()

    @extend_schema(operation_id="runs_events", responses=RunEventSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        page = self.paginate_queryset(_fetch(request, pk).events.all())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class RunEvaluations(GenericAPIView[Run]):
    serializer_class = RunSerializer
    queryset = Run.objects.none()

    @extend_schema(operation_id="runs_evaluations", responses=RunSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """What the run's model, or a checkpoint of it, was measured at."""
        rows = results.evaluations_of(_fetch(request, pk))
        page = self.paginate_queryset(rows.select_related("workspace").prefetch_related("inputs"))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class SnapshotEvaluations(GenericAPIView[Run]):
    serializer_class = RunSerializer
    queryset = Run.objects.none()

    @extend_schema(operation_id="snapshots_evaluations", responses=RunSerializer(many=True))
    def get(self, request: Request, pk: int) -> Response:
        """What models were measured at on the snapshot."""
        snapshots = Snapshot.objects.select_related("dataset__workspace")
        snapshot = access.fetch(_plain(request), snapshots, Role.LEAD, pk=pk)
        rows = results.evaluations_on(snapshot)
        page = self.paginate_queryset(rows.select_related("workspace").prefetch_related("inputs"))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
