"""Review, adjudication and gold for programs: the pages' acts, in JSON."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import generics, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from annotation import access, activity, adjudication, gold, reviewing
from annotation.models import Adjudication, Gold, Item, Review, Role, Submission
from annotation.serializers import JsonObject, ReviewOut

CONTENT = (
    "In the shape of the work: {“text”} to write or correct, {“order”: [[7], [3, 9]]} to rank, "
    "with {“ratings”} and {“tags”}; answers by their ids."
)


class ReviewIn(serializers.Serializer[Any]):
    decision = serializers.ChoiceField(choices=Review.Decision.values)
    comment = serializers.CharField(required=False, default="", allow_blank=True)
    content = JsonObject(required=False, default=dict, help_text=f"To fix. {CONTENT}")


class AdjudicationIn(serializers.Serializer[Any]):
    """Either `submission` or `content`."""

    submission = serializers.IntegerField(required=False, allow_null=True, default=None)
    content = JsonObject(required=False, allow_null=True, default=None, help_text=CONTENT)
    note = serializers.CharField(required=False, default="", allow_blank=True)


class AdjudicationOut(serializers.ModelSerializer[Adjudication]):
    author = serializers.CharField(source="author.email", read_only=True, default=None)
    content = JsonObject(read_only=True)

    class Meta:
        model = Adjudication
        fields = ["item", "submission", "content", "response", "note", "author", "created"]
        read_only_fields = fields


class GoldIn(serializers.Serializer[Any]):
    content = JsonObject(help_text="{“order”} of the item's answers, {“ratings”}, or both.")
    note = serializers.CharField(required=False, default="", allow_blank=True)


class GoldOut(serializers.ModelSerializer[Gold]):
    content = JsonObject(read_only=True)

    class Meta:
        model = Gold
        fields = ["item", "content", "note", "created"]
        read_only_fields = fields


class SubmissionReview(generics.GenericAPIView[Submission]):
    """Decide on somebody's submission; a reviewer's act, never on one's own work."""

    serializer_class = ReviewIn

    @extend_schema(operation_id="submissions_review", request=ReviewIn, responses={201: ReviewOut})
    def post(self, request: Request, pk: int) -> Response:
        rows = Submission.objects.live().select_related("stage__project__workspace", "item")
        submission = access.fetch(request, rows, Role.REVIEWER, pk=pk)
        sent = ReviewIn(data=request.data)
        sent.is_valid(raise_exception=True)
        data = sent.validated_data
        about = {"submission": submission, "reviewer": request.user, "comment": data["comment"]}
        if data["decision"] == Review.Decision.ACCEPT:
            review = reviewing.accept(**about)
        elif data["decision"] == Review.Decision.RETURN:
            review = reviewing.send_back(**about)
        else:
            review = reviewing.fix(content=data["content"], **about)
        return Response(ReviewOut(review).data, status=status.HTTP_201_CREATED)


def _item(request: Request, pk: int) -> Item:
    rows = Item.objects.select_related("stage__project__workspace", "prompt")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


def _record(request: Request, item: Item, what: str) -> None:
    activity.record(
        workspace=item.workspace,
        project=item.stage.project,
        actor=request.user,
        what=what,
        subject=f"{item.prompt.external_id} in {item.stage}",
    )


class ItemAdjudication(generics.GenericAPIView[Item]):
    """The lead's decision on an item; another takes its place."""

    serializer_class = AdjudicationIn

    @extend_schema(
        operation_id="items_adjudicate", request=AdjudicationIn, responses={201: AdjudicationOut}
    )
    def post(self, request: Request, pk: int) -> Response:
        item = _item(request, pk)
        sent = AdjudicationIn(data=request.data)
        sent.is_valid(raise_exception=True)
        data = sent.validated_data
        chosen = None
        if data["submission"] is not None:
            rows = Submission.objects.filter(item=item)
            chosen = generics.get_object_or_404(rows, pk=data["submission"])
        decided = adjudication.adjudicate(
            item=item,
            author=request.user,
            submission=chosen,
            content=data["content"],
            note=data["note"],
        )
        _record(request, item, "item decided")
        return Response(AdjudicationOut(decided).data, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="items_adjudication_withdraw", responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        item = _item(request, pk)
        adjudication.withdraw(item=item, author=request.user)
        _record(request, item, "decision withdrawn")
        return Response(status=status.HTTP_204_NO_CONTENT)


class ItemGold(generics.GenericAPIView[Item]):
    """Hide an item with a known answer in the queue."""

    serializer_class = GoldIn

    @extend_schema(operation_id="items_gold", request=GoldIn, responses={201: GoldOut})
    def post(self, request: Request, pk: int) -> Response:
        item = _item(request, pk)
        sent = GoldIn(data=request.data)
        sent.is_valid(raise_exception=True)
        made = gold.make_gold(item=item, author=request.user, **sent.validated_data)
        _record(request, item, "gold made")
        return Response(GoldOut(made).data, status=status.HTTP_201_CREATED)

    @extend_schema(operation_id="items_gold_end", responses={204: None})
    def delete(self, request: Request, pk: int) -> Response:
        item = _item(request, pk)
        gold.end_gold(item=item)
        _record(request, item, "gold ended")
        return Response(status=status.HTTP_204_NO_CONTENT)
