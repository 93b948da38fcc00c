"""Runs, what was looked at before them, what goes into them and what they say while they work."""

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.models import Project, User, Workspace
from exports.models import Snapshot


class Run(models.Model):
    """One job: recipe, base model, inputs, config, state, metrics, artifact."""

    class State(models.TextChoices):
        WAITING = "waiting"  # for other runs
        QUEUED = "queued"
        PREPARING = "preparing"
        RUNNING = "running"
        STOPPING = "stopping"
        INTERRUPTED = "interrupted"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    ENDED = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
    ACTIVE = (State.PREPARING, State.RUNNING, State.STOPPING)

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="runs")
    name = models.CharField(max_length=200, blank=True)
    recipe = models.CharField(max_length=20)  # a key of training.recipes.configs.RECIPES
    config = models.JSONField(default=dict)
    template = models.JSONField(default=dict)  # {"name", "text"}: the chat template's text
    state = models.CharField(max_length=12, choices=State, default=State.QUEUED)
    reason = models.TextField(blank=True)
    attempt = models.PositiveSmallIntegerField(default=1)
    # Progress, as last ingested.
    phase = models.CharField(max_length=100, blank=True)
    step = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    seconds_left = models.PositiveIntegerField(null=True)
    result = models.JSONField(default=dict)  # result.json
    # Supervision.
    supervisor = models.CharField(max_length=100, blank=True)  # host:pid of who watches
    process = models.JSONField(default=dict)  # {"host", "pid", "started"} of the trainer
    heartbeat = models.DateTimeField(null=True)
    event_offset = models.BigIntegerField(default=0)  # bytes of events.jsonl ingested
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    started = models.DateTimeField(null=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state", "heartbeat"], name="run_state")]

    def __str__(self) -> str:
        return f"Run {self.pk}"

    @property
    def directory(self) -> Path:
        """The run directory, the contract between the web and the trainer."""
        return Path(settings.RUN_ROOT) / str(self.pk)

    @property
    def artifact(self) -> Path:
        return self.directory / "artifact"

    @property
    def has_ended(self) -> bool:
        return self.state in self.ENDED


class RunInput(models.Model):
    """What a run starts from: a snapshot, another run's artifact, or a path or Hub id."""

    class Kind(models.TextChoices):
        MODEL = "model"
        ADAPTER = "adapter"
        REWARD = "reward"
        SNAPSHOT = "snapshot"
        PROMPTS = "prompts"  # a JSONL file of prompts to answer, written before it begins

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="inputs")
    name = models.CharField(max_length=20)  # "model", "init", "reward", "snapshot", "prompts"
    kind = models.CharField(max_length=10, choices=Kind)
    snapshot = models.ForeignKey(
        Snapshot, null=True, on_delete=models.PROTECT, related_name="run_inputs"
    )
    source = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="used_by")
    project = models.ForeignKey(Project, null=True, on_delete=models.SET_NULL, related_name="+")
    limit = models.PositiveIntegerField(null=True)  # of the project's prompts
    path = models.CharField(max_length=500, blank=True)  # a local path or a Hub id
    sha256 = models.CharField(max_length=64, blank=True)

    @property
    def awaited(self) -> Run | None:
        """The run that must succeed first; a checkpoint of one is there already."""
        return None if self.path else self.source

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "name"], name="run_input_name"),
            models.CheckConstraint(
                condition=Q(snapshot__isnull=False) | Q(source__isnull=False) | ~Q(path=""),
                name="run_input_given",
            ),
        ]


class RunEvent(models.Model):
    """A line of events.jsonl. Superseded: past the checkpoint that a later attempt resumed from."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="events")
    attempt = models.PositiveSmallIntegerField()
    seq = models.PositiveIntegerField()
    time = models.DateTimeField()
    kind = models.CharField(max_length=10)  # state, progress, metrics, sample, note, alarm
    step = models.PositiveIntegerField(default=0)
    data = models.JSONField(default=dict)
    superseded = models.BooleanField(default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "attempt", "seq"], name="run_event_once")
        ]
        indexes = [models.Index(fields=["run", "kind", "step"], name="run_event_kind")]


class Preflight(models.Model):
    """What a run would do, found out before there is one; asked once for the same question."""

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        PASSED = "passed"
        REFUSED = "refused"
        FAILED = "failed"  # it did not come to an end; `reason` says why

    key = models.CharField(max_length=32, unique=True)  # a hash of what was asked
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="+")
    snapshot = models.ForeignKey(Snapshot, null=True, on_delete=models.CASCADE, related_name="+")
    recipe = models.CharField(max_length=20)
    config = models.JSONField(default=dict)
    template = models.JSONField(default=dict)
    inputs = models.JSONField(default=list)
    wants_probe = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=State, default=State.QUEUED)
    phase = models.CharField(max_length=100, blank=True)
    step = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=100, blank=True)  # as a run's supervisor
    machine = models.CharField(max_length=300, blank=True)  # the worker's, as hosts.machine says
    heartbeat = models.DateTimeField()
    found = models.JSONField(default=dict)  # preflight.json
    probe = models.JSONField(null=True)  # probe.json, where two steps were tried
    reason = models.TextField(blank=True)
    asked = models.DateTimeField()
    computed = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"Preflight {self.pk}"

    @property
    def is_busy(self) -> bool:
        return self.state in (self.State.QUEUED, self.State.RUNNING)
