"""What others make of submitted work: reviews, adjudications, and answers known beforehand."""

from django.db import models
from django.db.models import Q

from annotation.models.people import User, Workspace
from annotation.models.prompts import Response
from annotation.models.stages import Item
from annotation.models.submissions import Submission


class Review(models.Model):
    """One decision on a submission. The last one is in force; earlier ones stay."""

    class Decision(models.TextChoices):
        ACCEPT = "accept"
        RETURN = "return"
        FIX = "fix"

    submission = models.ForeignKey(Submission, on_delete=models.PROTECT, related_name="reviews")
    reviewer = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="reviews")
    decision = models.CharField(max_length=6, choices=Decision)
    comment = models.TextField(blank=True)
    # fix: what counts from now on, in the shape of content.py.
    content = models.JSONField(default=dict)
    version = models.PositiveIntegerField()  # of the submission that was looked at
    created = models.DateTimeField(auto_now_add=True)


class Adjudication(models.Model):
    """The lead's decision on an item: a submission, or their own content (in its shape)."""

    item = models.ForeignKey(Item, on_delete=models.PROTECT, related_name="adjudications")
    submission = models.ForeignKey(
        Submission, null=True, on_delete=models.PROTECT, related_name="adjudications"
    )
    content = models.JSONField(default=dict)
    # The lead's own text as an answer to the prompt.
    response = models.ForeignKey(
        Response, null=True, on_delete=models.PROTECT, related_name="adjudications"
    )
    note = models.TextField(blank=True)
    author = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
    withdrawn = models.DateTimeField(null=True)  # taken back, or another took its place

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["item"], condition=Q(withdrawn__isnull=True), name="adjudication_in_force"
            )
        ]

    @property
    def workspace(self) -> Workspace:
        return self.item.workspace


class Gold(models.Model):
    """The known answer of an item that is hidden in the queue (the item's lane says that it is)."""

    item = models.OneToOneField(Item, on_delete=models.CASCADE, related_name="gold")
    content = models.JSONField()  # {"order"} or {"ratings"}, as a submission would say it
    note = models.TextField(blank=True)  # why this is right, for the leads
    author = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    created = models.DateTimeField(auto_now_add=True)
