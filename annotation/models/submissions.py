"""Submissions: one annotator's turn at one item, what was shown and what came of it."""

from django.db import models
from django.db.models import Q

from annotation.models.imports import Import
from annotation.models.people import User, Workspace
from annotation.models.projects import GuidelineVersion
from annotation.models.prompts import BatchQuerySet
from annotation.models.stages import Item, Stage


class Submission(models.Model):
    class Review(models.TextChoices):
        """Empty where nobody is to look at it."""

        WAITING = "waiting"
        ACCEPTED = "accepted"
        RETURNED = "returned"  # its author has it again, with a comment
        FIXED = "fixed"  # a reviewer's words count; `draft` stays what its author handed in

    class State(models.TextChoices):
        CLAIMED = "claimed"  # holds a slot until claimed_until
        DRAFT = "draft"  # the same, with something written
        EXPIRED = "expired"  # the slot went back; what was written is kept
        SUBMITTED = "submitted"
        SKIPPED = "skipped"
        LATE = "late"  # submitted after the slot had gone to another

    class SkipReason(models.TextChoices):
        UNCLEAR = "unclear", "The prompt is unclear"
        EXPERTISE = "expertise", "Outside my expertise"
        UNSAFE = "unsafe", "Unsafe or upsetting"
        BROKEN = "broken", "Broken or garbled"
        OTHER = "other", "Something else"

    class SuggestionUse(models.TextChoices):
        KEPT = "kept"  # as it was
        EDITED = "edited"
        DISCARDED = "discarded"  # hardly a word of it is left

    item = models.ForeignKey(Item, on_delete=models.CASCADE, related_name="submissions")
    # The item's stage again: the queue asks "what do I hold in this stage" without a join.
    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="submissions")
    user = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="submissions")
    rater = models.CharField(max_length=200, blank=True)  # imported work: who, as text
    origin = models.CharField(max_length=8, default="human")  # "human" or "import"
    batch = models.ForeignKey(
        Import, null=True, on_delete=models.PROTECT, related_name="submissions"
    )
    state = models.CharField(max_length=9, choices=State, default=State.CLAIMED)
    shown = models.JSONField(default=list)  # response ids in the order drawn for this person
    claimed_until = models.DateTimeField(null=True)
    # What is being written, in the shape of content.py; its version counts every save.
    draft = models.JSONField(default=dict)
    version = models.PositiveIntegerField(default=0)
    # correct, where the stage lets the prompt be edited: null where it was left alone.
    messages = models.JSONField(null=True)
    system = models.TextField(null=True)
    context = models.TextField(null=True)
    unchanged = models.BooleanField(default=False)  # correct: "no change needed"
    # write: the response that the text began with, and what became of it.
    suggestion = models.ForeignKey(
        "annotation.Response", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    suggestion_use = models.CharField(max_length=9, choices=SuggestionUse, blank=True)
    # Answers to the rubric: {question: value}, about each response {question: {response: value}}.
    ratings = models.JSONField(default=dict)
    tags = models.JSONField(default=dict)  # {response: [tag]}
    reason = models.TextField(blank=True)  # why one of two answers is far better
    skip_reason = models.CharField(max_length=9, choices=SkipReason, blank=True)
    skip_note = models.TextField(blank=True)
    guidelines = models.ForeignKey(
        GuidelineVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    active_seconds = models.PositiveIntegerField(default=0)
    review = models.CharField(max_length=8, choices=Review, blank=True)
    created = models.DateTimeField(auto_now_add=True)
    submitted = models.DateTimeField(null=True)

    objects = BatchQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["item", "user"], condition=Q(user__isnull=False), name="submission_once"
            ),
            models.UniqueConstraint(
                fields=["item", "rater"], condition=Q(user__isnull=True), name="submission_rater"
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=False) | Q(origin="import"), name="submission_annotator"
            ),
        ]
        indexes = [
            models.Index(
                fields=["stage", "claimed_until"],
                name="submission_expiring",
                condition=Q(state__in=["claimed", "draft"]),
            ),
            models.Index(fields=["user", "stage", "state"], name="submission_mine"),
            models.Index(fields=["stage", "state"], name="submission_in_stage"),
            # The same two columns first: SQLite takes no index that answers less of a question
            # than submission_in_stage does, however few rows it has.
            models.Index(
                fields=["stage", "state", "id"],
                name="submission_to_review",
                condition=Q(review="waiting"),
            ),
        ]

    @property
    def workspace(self) -> Workspace:
        return self.stage.project.workspace


class SubmissionVersion(models.Model):
    """The append-only history: every save of submitted work. Nothing deletes it but an erasure."""

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="history")
    number = models.PositiveIntegerField()
    # submit, resubmit, late, skip, undo, reopen, complete (a question that was added later),
    # flag, unflag; by a reviewer: accept, return, fix; by a lead: release (given to somebody else)
    event = models.CharField(max_length=12)
    content = models.JSONField()
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["submission", "number"], name="history_number")
        ]


class Ranking(models.Model):
    """An ordering of responses with ties, best first: [[7], [3, 9], [4]]."""

    submission = models.OneToOneField(Submission, on_delete=models.PROTECT, related_name="ranking")
    order = models.JSONField()
    # Two answers only: -4 (the second shown is significantly better) to 4; null where not asked.
    strength = models.SmallIntegerField(null=True)
    all_bad = models.BooleanField(default=False)  # none of the answers is good enough
    withdrawn = models.DateTimeField(null=True)  # undone
    created = models.DateTimeField(auto_now_add=True)
