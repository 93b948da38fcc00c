"""Prompts and the responses to them."""

from typing import Any

from django.db import models
from django.db.models import Q

from annotation.models.imports import Import
from annotation.models.people import User, Workspace
from annotation.models.projects import Project


class BatchQuerySet(models.QuerySet[Any]):
    """Rows that an import brings stay out of every query until the import is done."""

    def live(self) -> "BatchQuerySet":
        """Without the rows of imports that are not done."""
        unfinished = Import.objects.exclude(state=Import.State.DONE).values("pk")
        return self.filter(Q(batch__isnull=True) | ~Q(batch__in=unfinished))


class ResponseQuerySet(BatchQuerySet):
    def offered(self) -> "BatchQuerySet":
        """The answers that further work may be about: in force, and not waiting for a review."""
        waits = Q(submission__isnull=False, submission__review="waiting")
        return self.live().filter(~waits, withdrawn__isnull=True)


class Prompt(models.Model):
    """What is to be answered: one turn of a conversation, with the conversation so far."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="prompts")
    external_id = models.CharField(max_length=200)
    # [{role, content, name?, tool_calls?, tool_call_id?}]; empty for a document.
    messages = models.JSONField(default=list)
    system = models.TextField(blank=True)
    context = models.TextField(blank=True)
    tools = models.JSONField(null=True, blank=True)
    metadata = models.JSONField(default=dict)
    # The response that it continues, and the conversation's first prompt (null: this is it).
    parent = models.ForeignKey(
        "annotation.Response", null=True, on_delete=models.PROTECT, related_name="continuations"
    )
    root = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="turns")
    # Hash of system, messages and context, normalised: two prompts with it are the same prompt.
    fingerprint = models.CharField(max_length=32)
    # Hash of the conversation's first user turn, normalised: decides the split.
    root_key = models.CharField(max_length=32)
    retired = models.DateTimeField(null=True, blank=True)
    batch = models.ForeignKey(Import, null=True, on_delete=models.PROTECT, related_name="prompts")
    created = models.DateTimeField(auto_now_add=True)

    objects = BatchQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "external_id"], name="prompt_external_id")
        ]
        indexes = [
            models.Index(fields=["project", "id"], name="prompt_in_project"),
            models.Index(fields=["project", "fingerprint"], name="prompt_fingerprint"),
        ]

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @property
    def is_erased(self) -> bool:
        """A tombstone: its text was erased, and it never comes back (erasing_rows.py)."""
        return self.fingerprint.startswith("erased")

    @property
    def question(self) -> str:
        """The last turn's text, or nothing for a document: what lists show."""
        return str(self.messages[-1].get("content") or "") if self.messages else ""


class Origin(models.TextChoices):
    HUMAN = "human"
    MODEL = "model"
    IMPORTED = "imported"


class Response(models.Model):
    """One answer to a prompt. Its text never changes; a correction is another response."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="responses")
    text = models.TextField()
    origin = models.CharField(max_length=8, choices=Origin)
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="responses")
    # The author's or the model's name as text: it outlives both.
    author_name = models.CharField(max_length=200, blank=True)
    corrects = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="corrections"
    )
    # The turn in which it was written; none for imported and model answers.
    submission = models.ForeignKey(
        "annotation.Submission", null=True, on_delete=models.PROTECT, related_name="responses"
    )
    # Superseded by an edit of the same submission, or undone: out of ranking and of datasets.
    withdrawn = models.DateTimeField(null=True)
    fingerprint = models.CharField(max_length=32)
    metadata = models.JSONField(default=dict)
    batch = models.ForeignKey(Import, null=True, on_delete=models.PROTECT, related_name="responses")
    created = models.DateTimeField(auto_now_add=True)

    objects = ResponseQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["prompt", "origin", "fingerprint"], name="response_same")]
        constraints = [
            models.CheckConstraint(condition=Q(origin__in=Origin.values), name="response_origin")
        ]


class Comment(models.Model):
    """A remark on a prompt. Withdrawn by its author, it is gone from the pages."""

    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="comments")
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    text = models.TextField()
    created = models.DateTimeField(auto_now_add=True)
    withdrawn = models.DateTimeField(null=True)

    @property
    def workspace(self) -> Workspace:
        return self.prompt.workspace
