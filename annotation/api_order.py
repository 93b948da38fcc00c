"""A stage's queue for programs: order it by scores, put prompts first or last."""

import math
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import access, activity, ordering
from annotation.errors import Refused
from annotation.models import Role, Stage


class Score(serializers.FloatField):
    """A number that can be compared: neither infinite nor none at all."""

    def to_internal_value(self, data: Any) -> float:
        score = super().to_internal_value(data)
        if not math.isfinite(score):
            self.fail("invalid")
        return score


class OrderIn(serializers.Serializer[Any]):
    scores = serializers.DictField(
        child=Score(),
        allow_empty=False,
        help_text="{a prompt's external_id, or its number: score}; the highest comes first.",
    )
    source = serializers.CharField(
        max_length=100, help_text="Where the scores come from, in words: “run 12”."
    )


class PriorityIn(serializers.Serializer[Any]):
    prompts = serializers.ListField(
        child=serializers.CharField(max_length=200),
        allow_empty=False,
        help_text="External ids, or numbers of prompts.",
    )
    priority = serializers.IntegerField(
        min_value=-ordering.HIGHEST,
        max_value=ordering.HIGHEST,
        help_text="0 is the usual one; higher ones come first.",
    )


class MovedOut(serializers.Serializer[Any]):
    """`moved`: the open items that changed their place; done ones and others' stay."""

    moved = serializers.IntegerField()


def _stage(request: Request, pk: int) -> Stage:
    rows = Stage.objects.select_related("project__workspace")
    stage = access.fetch(request, rows, Role.LEAD, pk=pk)
    len(request.body)  # reading it as bytes first holds it to DATA_UPLOAD_MAX_MEMORY_SIZE
    return stage


class StageOrder(generics.GenericAPIView[Stage]):
    serializer_class = OrderIn

    @extend_schema(operation_id="stages_order", request=OrderIn, responses=MovedOut)
    def post(self, request: Request, pk: int) -> Response:
        """Order the queue by scores, the highest first; prompts without one come after them.

        At most 100,000 scores a call, all or nothing. A later call replaces the order."""
        stage = _stage(request, pk)
        sent = OrderIn(data=request.data)
        sent.is_valid(raise_exception=True)
        moved = ordering.order_by_scores(stage, **sent.validated_data)
        activity.note(request.user, "stage ordered by scores", stage, stage.order_source)
        return Response({"moved": moved})


class StagePriority(generics.GenericAPIView[Stage]):
    serializer_class = PriorityIn

    @extend_schema(operation_id="stages_priority", request=PriorityIn, responses=MovedOut)
    def post(self, request: Request, pk: int) -> Response:
        """Put prompts before (or after) all others of the queue; at most 10,000 a call."""
        stage = _stage(request, pk)
        sent = PriorityIn(data=request.data)
        sent.is_valid(raise_exception=True)
        names = list(dict.fromkeys(sent.validated_data["prompts"]))
        if len(names) > ordering.MOST_PROMPTS:
            raise Refused(ordering.too_many(len(names)))
        prompts = ordering.find(stage, names).values()
        priority = sent.validated_data["priority"]
        moved = ordering.prioritise(stage, prompts, priority)
        activity.note(
            request.user, "prompts prioritised", stage, f"{moved:,} to priority {priority}"
        )
        return Response({"moved": moved})
