"""Datasets (live selections) and snapshots (frozen files)."""

from django.db import models
from django.db.models import Q

from annotation.models import User, Workspace


class Dataset(models.Model):
    class Kind(models.TextChoices):
        SFT = "sft"
        PREFERENCE = "preference"
        UNPAIRED = "unpaired"
        PROMPTS = "prompts"
        TEXT = "text"
        LABELS = "labels"

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60)
    kind = models.CharField(max_length=10, choices=Kind)
    # exports.selection.Selection as JSON: projects by slug, stages, rules.
    selection = models.JSONField(default=dict)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "slug"], name="dataset_slug"),
            models.CheckConstraint(
                condition=Q(
                    kind__in=["sft", "preference", "unpaired", "prompts", "text", "labels"]
                ),
                name="dataset_kind",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Preview(models.Model):
    """What a dataset's selection gives, as last computed; stale when the key no longer fits."""

    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, related_name="preview")
    key = models.CharField(max_length=64)  # hash of selection and data version
    state = models.CharField(max_length=10, default="queued")  # queued, running, done, failed
    result = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    started = models.DateTimeField(null=True)
    computed = models.DateTimeField(null=True)


class Snapshot(models.Model):
    """A dataset frozen to a directory. It never changes."""

    class State(models.TextChoices):
        QUEUED = "queued"
        FREEZING = "freezing"
        READY = "ready"
        FAILED = "failed"
        WITHDRAWN = "withdrawn"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="snapshots")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    reason = models.TextField(blank=True)
    selection = models.JSONField()  # as it was when frozen
    path = models.CharField(max_length=500, blank=True)  # absolute directory
    sha256 = models.CharField(max_length=64, blank=True)
    counts = models.JSONField(default=dict)  # {"train": n, "validation": n, "test": n}
    dropped = models.JSONField(default=dict)  # {reason: rows}
    stats = models.JSONField(
        default=dict
    )  # e.g. {"longer_wins": {"share", "low", "high", "pairs"}}
    progress = models.PositiveIntegerField(default=0)
    heartbeat = models.DateTimeField(null=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dataset", "number"], name="snapshot_number")
        ]

    def __str__(self) -> str:
        return f"{self.dataset.name} v{self.number}"

    @property
    def workspace(self) -> Workspace:
        return self.dataset.workspace

    @property
    def rows(self) -> int:
        """Of all splits together."""
        return sum(self.counts.values())
