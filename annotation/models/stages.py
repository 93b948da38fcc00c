"""Stages, the items that their queue hands out, and each person's seat in a stage."""

from django.db import models
from django.db.models import F, Q

from annotation.models.people import User, Workspace
from annotation.models.projects import Project
from annotation.models.prompts import Prompt


class Stage(models.Model):
    """A kind of work on a project's prompts."""

    class Kind(models.TextChoices):
        WRITE = "write"
        CORRECT = "correct"
        RANK = "rank"
        RATE = "rate"
        CHAT = "chat"

    class State(models.TextChoices):
        OPEN = "open"
        PAUSED = "paused"
        IMPORTED = "imported"  # holds what importers brought; nobody works in it

    class Order(models.TextChoices):
        ARRIVAL = "arrival"
        RANDOM = "random"
        SCORES = "scores"

    class Source(models.TextChoices):
        """Which response a correct stage puts before the annotator. A write stage whose
        `source_name` is set begins with the latest answer of that author or model."""

        LATEST = "latest", "the latest answer"
        BEST = "best", "the best ranked answer"
        ORIGIN = "origin", "the latest answer of a named author or model"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="stages")
    kind = models.CharField(max_length=8, choices=Kind)
    name = models.CharField(max_length=100)
    instructions = models.TextField(blank=True)
    overlap = models.PositiveSmallIntegerField(default=1)
    position = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=8, choices=State, default=State.OPEN)
    order = models.CharField(max_length=8, choices=Order, default=Order.ARRIVAL)
    order_source = models.CharField(max_length=100, blank=True)
    # False: only people with an assigned seat work here.
    open_to_all = models.BooleanField(default=True)
    source = models.CharField(max_length=8, choices=Source, default=Source.LATEST)
    source_name = models.CharField(max_length=200, blank=True)
    edit_prompt = models.BooleanField(default=False)  # correct: prompt and context too
    max_answers = models.PositiveSmallIntegerField(default=9)
    # Short words to tick: why an answer was corrected, or what is wrong with each ranked one.
    tags = models.JSONField(default=list)
    better_answer = models.BooleanField(default=True)  # rank: a better one may be written
    rate_answers = models.BooleanField(default=True)  # rate: each answer, or the prompt alone
    reopen = models.BooleanField(default=True)  # submitted work may be changed by its author
    rubric = models.JSONField(default=list)  # questions, in the shape of rubric.py
    review_share = models.PositiveSmallIntegerField(default=0)  # percent of what is handed in
    gold_every = models.PositiveSmallIntegerField(default=0)  # one turn in so many; 0: no gold
    # False: only prompts that a lead sends here; the queue brings in none by itself.
    takes_all = models.BooleanField(default=True)
    lease_minutes = models.PositiveSmallIntegerField(default=60)
    skips_to_close = models.PositiveSmallIntegerField(default=3)
    # Items exist for prompts up to this id; the queue fills lazily from here.
    filled_to = models.BigIntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(overlap__gte=1), name="stage_overlap"),
            models.CheckConstraint(
                condition=Q(max_answers__gte=2, max_answers__lte=9), name="stage_answers"
            ),
            models.CheckConstraint(condition=Q(review_share__lte=100), name="stage_review_share"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def workspace(self) -> Workspace:
        return self.project.workspace

    @property
    def shows_answers(self) -> bool:
        """The work is about answers that are there, so nobody gets their own."""
        rates = self.kind == self.Kind.RATE and self.rate_answers
        return rates or self.kind in (self.Kind.CORRECT, self.Kind.RANK)


class Item(models.Model):
    """A prompt in a stage in one round. `taken` counts those who hold or have done it.

    lane and position order the queue: lane is -2 * priority, one less for an item that came back;
    position is the arrival (or a random or a scored number) within the lane. Gold has a lane of its
    own, from which each person gets an item now and then.
    """

    GOLD_LANE = 32_767

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="items")
    prompt = models.ForeignKey(Prompt, on_delete=models.CASCADE, related_name="items")
    round = models.PositiveSmallIntegerField(default=1)
    # Response ids that this round is about: 2 to 9 to rank, one to correct, none to write.
    candidates = models.JSONField(default=list)
    lane = models.SmallIntegerField(default=0)
    position = models.BigIntegerField()
    needed = models.PositiveSmallIntegerField()
    taken = models.PositiveSmallIntegerField(default=0)
    done = models.PositiveSmallIntegerField(default=0)
    skips = models.PositiveSmallIntegerField(default=0)
    open = models.BooleanField(default=True)
    # Closed by skips or flagged: on the lead's list.
    flagged = models.BooleanField(default=False)
    # Only these people get it (ids of users); empty: whoever works in the stage.
    people = models.JSONField(default=list)
    # 0 (all said the same) to 100, as quality.py last measured it; null: fewer than two have.
    disagreement = models.PositiveSmallIntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["stage", "prompt", "round"], name="item_once"),
            models.CheckConstraint(
                condition=Q(taken__lte=F("needed")), name="item_not_beyond_need"
            ),
            models.CheckConstraint(condition=Q(done__lte=F("taken")), name="item_done"),
        ]
        indexes = [
            models.Index(
                fields=["stage", "lane", "position"], name="item_open", condition=Q(open=True)
            ),
            models.Index(fields=["prompt"], name="item_prompt"),
            models.Index(
                fields=["stage", "prompt"], name="item_on_list", condition=Q(flagged=True)
            ),
            models.Index(
                fields=["stage", "disagreement", "prompt"],
                name="item_disagreement",
                condition=Q(disagreement__gt=0),
            ),
        ]

    @property
    def workspace(self) -> Workspace:
        return self.stage.project.workspace

    @property
    def is_gold(self) -> bool:
        return self.lane == self.GOLD_LANE


class Seat(models.Model):
    """One person in one stage: assigned or not, where in the queue they are, what they did."""

    stage = models.ForeignKey(Stage, on_delete=models.CASCADE, related_name="seats")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="seats")
    assigned = models.BooleanField(default=False)
    cursors = models.JSONField(default=dict)  # lane -> the last position passed there
    submitted = models.PositiveIntegerField(default=0)
    skipped = models.PositiveIntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stage", "user"], name="seat_once")]
