"""A simulated crowd at a stage that compares two answers, through the real queue."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from annotation import gold, queue, submissions
from annotation.models import Item, Membership, Role, Stage, User
from tests.annotation.factories import make_prompt, make_stage

# (the better answer or None for a tie, the answers in the order shown, dice) -> the better one
Habit = Callable[[int | None, list[int], random.Random], int | None]


def right(share: float) -> Habit:
    """Says what is so in this share of cases, else one of the three by lot."""

    def choose(truth: int | None, shown: list[int], dice: random.Random) -> int | None:
        return truth if dice.random() < share else dice.choice([*shown, None])

    return choose


def spam(truth: int | None, shown: list[int], dice: random.Random) -> int | None:
    return dice.choice(shown)


def left(truth: int | None, shown: list[int], dice: random.Random) -> int | None:
    """Every second time the answer on the left, else as a good one."""
    return shown[0] if dice.random() < 0.5 else right(0.9)(truth, shown, dice)


# Name, habit, seconds for an item from … to.
CROWD: list[tuple[str, Habit, int, int]] = [
    ("Gita", right(0.9), 30, 90),
    ("Goran", right(0.9), 25, 80),
    ("Gwen", right(0.85), 40, 120),
    ("Carl", right(0.5), 20, 60),
    ("Spencer", spam, 1, 5),
    ("Lefteris", left, 30, 80),
]


@dataclass
class Made:
    stage: Stage
    people: dict[str, User]


def work(cast, items: int, known: int = 0, seed: int = 4) -> Made:
    """The crowd does all items, all of them each; `known` are gold. One in ten is a tie."""
    dice = random.Random(seed)
    random.seed(seed)  # the order in which the queue shows answers
    people = {}
    for name, *_ in CROWD:
        user = User.objects.create_user(f"{name.lower()}@crowd.org", name, "a long password")
        Membership.objects.create(workspace=cast.acme, user=user, role=Role.ANNOTATOR)
        people[name] = user
    stage = make_stage(cast.project, "rank", overlap=len(CROWD), gold_every=10 if known else 0)
    for n in range(items + known):
        make_prompt(
            cast.project, f"Question {n}", answers=[(f"{n} a", "alpha"), (f"{n} b", "beta")]
        )
    while queue.fill(stage):
        pass
    truth: dict[int, int | None] = {}
    for n, item in enumerate(Item.objects.filter(stage=stage).order_by("pk")):
        one, other = item.candidates
        truth[item.pk] = None if dice.random() < 0.1 else one if dice.random() < 0.7 else other
        if n < known:
            gold.make_gold(
                item=item, content={"order": order(truth[item.pk], one, other)}, author=cast.lee
            )
    for name, habit, quickest, slowest in CROWD:
        user = people[name]
        while turn := queue.claim(stage, user):
            choice = habit(truth[turn.item_id], turn.shown, dice)
            submissions.submit(
                submission=turn,
                user=user,
                content={"order": order(choice, *turn.shown)},
                active_seconds=dice.randint(quickest, slowest),
            )
    return Made(stage, people)


def order(better: int | None, one: int, other: int) -> list[list[int]]:
    if better is None:
        return [[one, other]]
    return [[better], [other if better == one else one]]
