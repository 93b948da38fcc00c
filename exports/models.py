"""Datasets (live selections), the rules that they share, and snapshots (frozen files)."""

from django.db import models
from django.db.models import Q

from annotation.models import User, Workspace
from exports.figures import most_first
from exports.splits import SPLITS


class Ruleset(models.Model):
    """Rules under a name, for the datasets of one kind that share them."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="rulesets")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=10)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="ruleset_name")]

    def __str__(self) -> str:
        return self.name


class RulesetVersion(models.Model):
    """What a ruleset said at one time. It never changes; an edit makes the next number."""

    ruleset = models.ForeignKey(Ruleset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    rules = models.JSONField()  # as Dataset.selection, without what rules.OWN names
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["ruleset", "number"], name="ruleset_number")]

    def __str__(self) -> str:
        return f"{self.ruleset.name} v{self.number}"


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
    # The shared rules that it follows, at one version; `selection` holds them in full.
    follows = models.ForeignKey(
        RulesetVersion, null=True, on_delete=models.SET_NULL, related_name="datasets"
    )
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


class Benchmark(models.Model):
    """Texts that no training row may hold: an uploaded test set, for the contamination rule."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="benchmarks")
    name = models.CharField(max_length=100)
    filename = models.CharField(max_length=255, blank=True)
    path = models.CharField(max_length=500)  # its texts, a JSON string a line
    texts = models.PositiveIntegerField(default=0)
    sha256 = models.CharField(max_length=64)  # of that file: the rules' result hangs on it
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="benchmark_name")]

    def __str__(self) -> str:
        return self.name


class Preview(models.Model):
    """What a dataset's selection gives, as last computed; stale when the key no longer fits."""

    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, related_name="preview")
    key = models.CharField(max_length=64)  # hash of selection and data version
    state = models.CharField(max_length=10, default="queued")  # queued, running, done, failed
    result = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    progress = models.PositiveSmallIntegerField(default=0)  # per cent
    look = models.CharField(max_length=500, blank=True)  # directory of looks.py, once done
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
    # What people say of it afterwards. Nothing of this stands in its files.
    tags = models.JSONField(default=list)
    note = models.TextField(blank=True)
    signed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    signed = models.DateTimeField(null=True)
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

    @property
    def splits(self) -> list[tuple[str, int]]:
        """(split, rows) in the order of SPLITS: PostgreSQL has one of its own for names in JSON."""
        return [(name, self.counts[name]) for name in SPLITS if name in self.counts]

    @property
    def left_out(self) -> list[tuple[str, int]]:
        """(reason, rows), most first."""
        return most_first(self.dropped)
