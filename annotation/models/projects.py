"""A project: one body of prompts with its guidelines."""

import uuid

from django.db import models

from annotation.models.people import User, Workspace


class Project(models.Model):
    workspace = models.ForeignKey(Workspace, on_delete=models.CASCADE, related_name="projects")
    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60)
    # Names the project in snapshots. Derived from workspace and project slug when it is made, so
    # that the same data in two databases freezes to the same bytes; it never changes afterwards.
    uuid = models.UUIDField(unique=True, editable=False)
    description = models.TextField(blank=True)
    archived = models.DateTimeField(null=True, blank=True)
    # Nobody gets work before they have said that they read the guidelines in force.
    confirm_guidelines = models.BooleanField(default=False)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["workspace", "slug"], name="project_slug")]

    def __str__(self) -> str:
        return self.name

    def save(self, *args, **kwargs) -> None:  # type: ignore[no-untyped-def]
        if not self.uuid:
            name = f"annotune:{self.workspace.slug}/{self.slug}"
            self.uuid = uuid.uuid5(uuid.NAMESPACE_URL, name)
        super().save(*args, **kwargs)

    @property
    def guidelines(self) -> "GuidelineVersion | None":
        """The version in force: the newest."""
        return self.guideline_versions.order_by("-number").first()


class GuidelineVersion(models.Model):
    """Markdown, numbered from 1; each submission records the one in force."""

    project = models.ForeignKey(
        Project, on_delete=models.CASCADE, related_name="guideline_versions"
    )
    number = models.PositiveIntegerField()
    text = models.TextField()
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["project", "number"], name="guideline_number")
        ]


class GuidelineReading(models.Model):
    """Somebody has read this version and says that they understood it."""

    version = models.ForeignKey(GuidelineVersion, on_delete=models.CASCADE, related_name="readings")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "user"], name="reading_once")]
