"""An import: a file's way in. Its rows stay invisible until it is done."""

from django.db import models

from annotation.models.people import User, Workspace
from annotation.models.projects import Project


class Import(models.Model):
    class State(models.TextChoices):
        PREVIEWED = "previewed"
        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="imports")
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    # "file" or, for rows that a program hands in (a model's answers), what it is called.
    source = models.CharField(max_length=200, default="file")
    filename = models.CharField(max_length=255, blank=True)
    path = models.CharField(max_length=500, blank=True)
    layout = models.CharField(max_length=40, blank=True)
    mapping = models.JSONField(default=dict)
    no_header = models.BooleanField(default=False)  # a table whose first line is a row
    skip_bad = models.BooleanField(default=False)
    # Of what the file holds: carried into the card of every snapshot that its rows reach.
    licence = models.CharField(max_length=100, blank=True)
    homepage = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.PREVIEWED)
    reason = models.TextField(blank=True)
    rows_done = models.PositiveIntegerField(default=0)
    rows_total = models.PositiveIntegerField(null=True)  # known once all of it is read
    # How far the file is read, of its size on disk.
    bytes_done = models.PositiveBigIntegerField(default=0)
    bytes_total = models.PositiveBigIntegerField(null=True)
    # The report, in the shape that `import_prompts --report` writes.
    report = models.JSONField(default=dict)
    heartbeat = models.DateTimeField(null=True)
    created = models.DateTimeField(auto_now_add=True)
    finished = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["state"], name="import_state")]

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace


class ColumnMapping(models.Model):
    """Which columns of a file hold what, kept under a name for the next file of its kind."""

    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="mappings")
    name = models.CharField(max_length=100)
    mapping = models.JSONField()  # {field: column}, as layouts.mapping takes it
    no_header = models.BooleanField(default=False)  # of files whose first line is a row
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="column_mapping_name")
        ]

    def __str__(self) -> str:
        return self.name
