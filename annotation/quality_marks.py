"""What a lead should look at in an annotator's work: rules in words, with their figures. Pure.

A mark is a reason to look, no verdict: each needs FEW items at least and an interval that excludes
the harmless reading."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from annotation.quality_people import Person, wilson

FEW = 20  # items that two annotators share, submissions, comparisons: below it nothing is said
FEW_GOLD = 5
CHANCE = 0.15  # agreement with others whose whole interval lies below it is no better than chance
BEHIND = 0.1  # so far below the usual agreement the whole interval has to lie
LEAN = 0.1  # so far from chance the whole 99 % interval has to lie
FAST = 0.25  # of the submissions
GOLD = 0.7
STRICT = 2.576  # 99 %: who is looked at one by one is seldom right by accident


@dataclass(frozen=True)
class Mark:
    """`tone`: bad (look now) or warn. `why` has the figures."""

    code: str
    words: str
    tone: str
    why: str


RULES = [
    (
        "no better than chance",
        f"The interval of the agreement with others lies below {CHANCE}: answers could be drawn by "
        "lot, as of somebody who clicks through.",
    ),
    (
        "agrees less than others",
        f"The interval of the agreement with others lies more than {BEHIND} below the middle one "
        "of all annotators.",
    ),
    (
        "leans to the left, to the right",
        "The 99 % interval of how often the answer that was shown first wins lies more than "
        f"{round(100 * LEAN)} points above, or below, what chance gives. The order is drawn anew "
        "for each annotator.",
    ),
    (
        "too fast",
        f"More than {round(100 * FAST)} % of the submissions (the interval above it) took less "
        "than a quarter of the usual time of an item, the median of the annotators' medians.",
    ),
    (
        "misses the known answers",
        f"The interval of the score on gold items lies below {GOLD}, of {FEW_GOLD} items or more.",
    ),
]


def usual(people: Sequence[Person]) -> float | None:
    """The middle one of the annotators' agreement with the others."""
    known = [p.agreement.value for p in people if p.agreement and p.agreement.n >= FEW]
    return median(known) if known else None


def marks(person: Person, crowd: float | None) -> list[Mark]:
    """What is to be looked at, the gravest first. `crowd`: `usual` of all."""
    found = []
    agreement = person.agreement
    if agreement and agreement.n >= FEW:
        said = f"agreement {agreement.value:.2f} ({agreement.low:.2f} to {agreement.high:.2f})"
        if agreement.high < CHANCE:
            found.append(Mark("chance", "no better than chance", "bad", said))
        elif crowd is not None and agreement.high < crowd - BEHIND:
            why = f"{said}, the middle one is {crowd:.2f}"
            found.append(Mark("careless", "agrees less than others", "warn", why))
    if person.first and person.first.n >= FEW:
        first = wilson(person.first.value * person.first.n, person.first.n, STRICT)
        said = (
            f"the first shown wins {first.value:.0%} of {first.n}, "
            f"{person.expected:.0%} are expected"
        )
        if first.low > person.expected + LEAN:
            found.append(Mark("left", "leans to the left", "bad", said))
        elif first.high < person.expected - LEAN:
            found.append(Mark("right", "leans to the right", "bad", said))
    if person.fast and person.fast.n >= FEW and person.fast.low > FAST:
        why = f"{person.fast.value:.0%} of {person.fast.n} took under a quarter of the usual time"
        found.append(Mark("fast", "too fast", "warn", why))
    gold = person.gold
    if gold and gold.n >= FEW_GOLD and gold.high < GOLD:
        why = f"{gold.value:.0%} right on {gold.n} gold items ({gold.low:.0%} to {gold.high:.0%})"
        found.append(Mark("gold", "misses the known answers", "bad", why))
    return found
