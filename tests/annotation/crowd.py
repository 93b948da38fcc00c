"""A simulated crowd at a stage that compares two answers, through the real queue."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from annotation import gold, queue, submissions
from annotation.models import Item, Membership, Role, Stage, User
from annotation.quality_data import Data, Turn, canonical
from annotation.quality_questions import Question, questions
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


def drawn(items: int, seed: int) -> tuple[Data, list[Question]]:
    """The same crowd without a database: annotators are numbers, places in CROWD."""
    dice = random.Random(seed)
    stage = Stage(kind="rank")
    data = Data(stage, candidates={item: [2 * item, 2 * item + 1] for item in range(1, items + 1)})
    for item, answers in data.candidates.items():
        truth = None if dice.random() < 0.1 else answers[dice.random() < 0.3]
        for rater, (_, habit, quickest, slowest) in enumerate(CROWD):
            shown = dice.sample(answers, 2)
            said = {"order": order(habit(truth, shown, dice), *shown)}
            seconds = dice.randint(quickest, slowest)
            turn = Turn(item, item, rater, said, said, shown, seconds, "", False, "")
            turn.order = canonical(said["order"], answers)
            data.turns.append(turn)
    return data, questions("rank", [], data.turns)


def order(better: int | None, one: int, other: int) -> list[list[int]]:
    if better is None:
        return [[one, other]]
    return [[better], [other if better == one else one]]
