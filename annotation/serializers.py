"""The shapes that programs read and write. Who may is decided in api.py, by access.fetch."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotation.models import Project, Prompt, Response, Review, Stage, Submission


class ProjectOut(serializers.ModelSerializer[Project]):
    workspace = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)

    class Meta:
        model = Project
        fields = ["id", "workspace", "name", "slug", "uuid", "description", "archived", "created"]
        read_only_fields = fields


class ProjectIn(serializers.Serializer[Any]):
    workspace = serializers.SlugField(help_text="The workspace's short name.")
    name = serializers.CharField(max_length=100)
    slug = serializers.SlugField(max_length=60, required=False)
    description = serializers.CharField(
        max_length=500, required=False, default="", allow_blank=True
    )
    guidelines = serializers.CharField(required=False, default="", allow_blank=True)


@extend_schema_field({"type": "object", "additionalProperties": True})
class JsonObject(serializers.JSONField):
    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        if not isinstance(value, dict):
            raise serializers.ValidationError("An object is needed.")
        return value


class StageOut(serializers.ModelSerializer[Stage]):
    """`rubric`: the questions in order, then those that were removed, marked `removed`."""

    tags = serializers.ListField(child=serializers.CharField(), read_only=True)
    rubric = serializers.ListField(child=JsonObject(), read_only=True)

    class Meta:
        model = Stage
        fields = [
            *("id", "project", "kind", "name", "instructions", "overlap", "state", "order"),
            *("open_to_all", "source", "source_name", "edit_prompt", "max_answers", "tags"),
            *("better_answer", "rate_answers", "reopen", "rubric", "created"),
        ]
        read_only_fields = fields


class ResponseOut(serializers.ModelSerializer[Response]):
    class Meta:
        model = Response
        fields = [
            *("id", "text", "origin", "author_name", "corrects", "submission", "metadata"),
            "created",
        ]
        read_only_fields = fields


class MessageSchema(serializers.Serializer[Any]):
    """One turn. For the document only: turns are kept as they came."""

    role = serializers.ChoiceField(choices=["system", "user", "assistant", "tool"])
    content = serializers.CharField(allow_null=True, allow_blank=True)
    name = serializers.CharField(required=False)
    tool_call_id = serializers.CharField(required=False)
    tool_calls = serializers.ListField(required=False)


@extend_schema_field(MessageSchema(many=True))
class Messages(serializers.JSONField):
    """A list of turns; annotation.records checks what stands in them."""

    def to_internal_value(self, data: Any) -> Any:
        turns = super().to_internal_value(data)
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise serializers.ValidationError("A list of objects with role and content is needed.")
        if any("role" not in turn for turn in turns):
            raise serializers.ValidationError("A turn without a role.")
        return turns


class PromptOut(serializers.ModelSerializer[Prompt]):
    messages = Messages(read_only=True)
    metadata = JsonObject(read_only=True)

    class Meta:
        model = Prompt
        fields = [
            *("id", "project", "external_id", "messages", "system", "context", "tools"),
            *("metadata", "parent", "root", "retired", "created"),
        ]
        read_only_fields = fields


class PromptWithAnswers(PromptOut):
    responses = serializers.SerializerMethodField()

    class Meta(PromptOut.Meta):
        fields = [*PromptOut.Meta.fields, "responses"]
        read_only_fields = fields

    @extend_schema_field(ResponseOut(many=True))
    def get_responses(self, prompt: Prompt) -> Any:
        rows = Response.objects.live().filter(prompt=prompt, withdrawn=None).order_by("pk")
        return ResponseOut(rows, many=True).data


class AnswerIn(serializers.Serializer[Any]):
    text = serializers.CharField(trim_whitespace=False)
    author_name = serializers.CharField(max_length=200, required=False, default="")
    origin = serializers.ChoiceField(choices=["imported", "model"], required=False, default="")
    metadata = JsonObject(required=False, default=dict)


class RankingIn(serializers.Serializer[Any]):
    rater = serializers.CharField(max_length=200)
    order = serializers.ListField(
        child=serializers.ListField(child=serializers.IntegerField(min_value=0)),
        help_text="Places in `answers`, best first, ties together: [[1], [0, 2]].",
    )
    strength = serializers.IntegerField(
        min_value=-4, max_value=4, required=False, allow_null=True, default=None
    )


class PromptIn(serializers.Serializer[Any]):
    """`external_id` left out: a hash of the content. No messages: answers for a prompt that is
    there, or a document."""

    external_id = serializers.CharField(max_length=200, required=False, default="")
    messages = Messages(required=False, default=list)
    system = serializers.CharField(required=False, default="", allow_blank=True)
    context = serializers.CharField(required=False, default="", allow_blank=True)
    tools = serializers.JSONField(required=False, allow_null=True, default=None)
    metadata = JsonObject(required=False, default=dict)
    answers = AnswerIn(many=True, required=False, default=list)
    rankings = RankingIn(many=True, required=False, default=list)


class PromptsIn(serializers.Serializer[Any]):
    prompts = PromptIn(many=True, allow_empty=False)
    skip_bad = serializers.BooleanField(
        default=False, help_text="Take the good rows and report the others; else all or nothing."
    )
    source = serializers.CharField(max_length=200, default="api")


class RefusedRow(serializers.Serializer[Any]):
    line = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()


class NotedRow(serializers.Serializer[Any]):
    line = serializers.IntegerField(allow_null=True)
    note = serializers.CharField()


class ReportOut(serializers.Serializer[Any]):
    """rows = imported + updated + unchanged + refused; `line` counts the sent rows from 1."""

    file = serializers.CharField()
    layout = serializers.CharField()
    rows = serializers.IntegerField()
    imported = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    refused = RefusedRow(many=True)
    notes = NotedRow(many=True)
    prompts = serializers.IntegerField()
    responses = serializers.IntegerField()
    rankings = serializers.IntegerField()
    seconds = serializers.FloatField()


class RankingOut(serializers.Serializer[Any]):
    order = serializers.ListField(child=serializers.ListField(child=serializers.IntegerField()))
    strength = serializers.IntegerField(allow_null=True)
    all_bad = serializers.BooleanField()


class ReviewOut(serializers.ModelSerializer[Review]):
    """`content`: of a fix, what counts since."""

    reviewer = serializers.CharField(source="reviewer.email", read_only=True, default=None)
    content = JsonObject(read_only=True)

    class Meta:
        model = Review
        fields = ["submission", "reviewer", "decision", "comment", "content", "created"]
        read_only_fields = fields


class SubmissionOut(serializers.ModelSerializer[Submission]):
    """`annotator`: the user's e-mail address, or the imported rater's name. `ratings`: the answers
    to the stage's rubric by its keys, about each response one more level by its id. `tags`: by
    response. `suggestion`: the response that a written text began with, and what became of it.
    `handed_in`: what its author said, which a reviewer's fix leaves as it was."""

    annotator = serializers.SerializerMethodField()
    ratings = JsonObject(read_only=True)
    tags = JsonObject(read_only=True)
    prompt = serializers.IntegerField(source="item.prompt_id", read_only=True)
    round = serializers.IntegerField(source="item.round", read_only=True)
    guideline_version = serializers.SerializerMethodField()
    responses = serializers.SerializerMethodField()
    ranking = serializers.SerializerMethodField()
    reviews = ReviewOut(many=True, read_only=True)
    handed_in = JsonObject(source="draft", read_only=True)

    class Meta:
        model = Submission
        fields = [
            *("id", "stage", "item", "prompt", "round", "annotator", "origin", "state", "shown"),
            *("messages", "system", "context", "unchanged", "skip_reason", "skip_note"),
            *("ratings", "tags", "reason", "suggestion", "suggestion_use"),
            *("guideline_version", "responses", "ranking", "active_seconds", "created"),
            *("review", "reviews", "handed_in"),
            "submitted",
        ]
        read_only_fields = fields

    def get_annotator(self, submission: Submission) -> str:
        return submission.user.email if submission.user else submission.rater

    def get_guideline_version(self, submission: Submission) -> int | None:
        return submission.guidelines.number if submission.guidelines else None

    @extend_schema_field(ResponseOut(many=True))
    def get_responses(self, submission: Submission) -> Any:
        live = [row for row in submission.responses.all() if row.withdrawn is None]
        return ResponseOut(live, many=True).data

    @extend_schema_field(RankingOut(allow_null=True))
    def get_ranking(self, submission: Submission) -> dict[str, Any] | None:
        ranking = getattr(submission, "ranking", None)
        if ranking is None or ranking.withdrawn is not None:
            return None
        return {
            "order": ranking.order,
            "strength": ranking.strength,
            "all_bad": ranking.all_bad,
        }
