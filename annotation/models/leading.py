"""What leads do with many rows at once, what is measured for them, and what was done by whom."""

from django.db import models
from django.db.models import Q

from annotation.models.people import User, Workspace
from annotation.models.projects import Project
from annotation.models.stages import Stage


class Action(models.Model):
    """One act on many prompts, with what it takes to undo it."""

    class Kind(models.TextChoices):
        ASSIGN = "assign"
        PRIORITISE = "prioritise"
        RETIRE = "retire"
        RESTORE = "restore"
        SEND = "send"
        ROUND = "round"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="actions")
    stage = models.ForeignKey(Stage, null=True, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=10, choices=Kind)
    said = models.CharField(max_length=300)  # in words
    changed = models.PositiveIntegerField()
    before = models.JSONField(default=dict)  # what undoing.undo restores
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    undone = models.DateTimeField(null=True)

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace


class Activity(models.Model):
    """Who changed what in a workspace, in words; nothing rests on it."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="activities")
    project = models.ForeignKey(Project, null=True, on_delete=models.CASCADE, related_name="+")
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=200, blank=True)
    what = models.CharField(max_length=40)  # e.g. "stage edited"
    subject = models.CharField(max_length=200, blank=True)  # the thing's name
    path = models.CharField(max_length=300, blank=True)  # of its page
    detail = models.TextField(blank=True)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["workspace", "-id"], name="activity_newest")]


class Measurement(models.Model):
    """What takes too long for a page: counted by a worker, shown with its age."""

    class Kind(models.TextChoices):
        BOARD = "board"  # of a project: its stages' progress, pace, people
        QUALITY = "quality"  # of a stage: agreement, people, disagreement

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="measurements")
    stage = models.ForeignKey(
        Stage, null=True, on_delete=models.CASCADE, related_name="measurements"
    )
    kind = models.CharField(max_length=8, choices=Kind)
    state = models.CharField(max_length=8, default="queued")  # queued, running, done, failed
    key = models.CharField(max_length=64, blank=True)  # of the data that it was made from
    result = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    seconds = models.FloatField(null=True)
    started = models.DateTimeField(null=True)
    computed = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind"], condition=Q(stage__isnull=True), name="measured_project"
            ),
            models.UniqueConstraint(
                fields=["stage", "kind"], condition=Q(stage__isnull=False), name="measured_stage"
            ),
        ]


class Erasure(models.Model):
    """A tombstone: that something was erased, when and by whom; of what it said, nothing.

    `submissions`, `responses`, `prompts`: the ids whose text is gone; snapshots that hold them are
    withdrawn by whoever keeps snapshots."""

    class Kind(models.TextChoices):
        PERSON = "person"
        PROMPT = "prompt"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="erasures")
    kind = models.CharField(max_length=6, choices=Kind)
    subject = models.BigIntegerField()  # the id of the user or the prompt
    prompts = models.JSONField(default=list)
    responses = models.JSONField(default=list)
    submissions = models.JSONField(default=list)
    reason = models.TextField(blank=True)
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
