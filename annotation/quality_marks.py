"""What a lead should look at in an annotator's work: rules in words, with their figures. Pure.

A mark is a reason to look, no verdict: each needs FEW items at least and an interval that excludes
the harmless reading."""

from collections.abc import Sequence
from dataclasses import dataclass

from annotation.quality_people import Person
from annotation.shares import binomial_p

FEW = 20  # items that two annotators share, submissions, comparisons: below it nothing is said
FEW_GOLD = 5
CHANCE = (0.05, 0.3)  # an agreement whose interval begins below and ends below these is by chance
BEHIND = 0.05  # so far below the usual agreement the whole interval has to lie
LEAN = 0.05  # so far from chance the whole interval has to lie
FAST = 0.25  # of the submissions
GOLD = 0.7
STRICT = 0.01  # many are looked at: what chance does more often than that is nothing


def percent(share: float) -> str:
    return f"{round(100 * share)} %"


def coefficient(value: float) -> str:
    """Two digits, with a real minus sign."""
    return f"{value:.2f}".replace("-", "−").replace("−0.00", "0.00")


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
        f"The interval of the agreement with others begins below {CHANCE[0]} and ends below "
        f"{CHANCE[1]}: the answers could be drawn by lot, as of somebody who clicks through.",
    ),
    (
        "agrees less than others",
        f"The interval of the agreement with others lies more than {BEHIND} below what is usual "
        "among the others: their mean, each counting by their own agreement.",
    ),
    (
        "leans to the left, to the right",
        "The interval of how often the answer that was shown first wins lies more than "
        f"{round(100 * LEAN)} points above, or below, what chance gives, and chance alone does "
        "that in less than 1 of 100 cases. The order is drawn anew for each annotator.",
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


def usual(people: Sequence[Person], but: Person | None = None) -> float | None:
    """The agreement that is usual among them, without the one at hand: the mean, each annotator
    counting by their own."""
    known = [
        max(person.agreement.value, 0.0)
        for person in people
        if person is not but and person.agreement and person.agreement.n >= FEW
    ]
    return sum(value * value for value in known) / sum(known) if any(known) else None


def marks(person: Person, people: Sequence[Person]) -> list[Mark]:
    """What is to be looked at, the gravest first."""
    crowd = usual(people, person)
    found = []
    agreement = person.agreement
    if agreement and agreement.n >= FEW:
        said = (
            f"agreement {coefficient(agreement.value)} "
            f"({coefficient(agreement.low)} to {coefficient(agreement.high)})"
        )
        if agreement.low < CHANCE[0] and agreement.high < CHANCE[1]:
            found.append(Mark("chance", "no better than chance", "bad", said))
        elif crowd is not None and agreement.high < crowd - BEHIND:
            why = f"{said}, usual is {coefficient(crowd)}"
            found.append(Mark("careless", "agrees less than others", "warn", why))
    first = person.first
    if first and first.n >= FEW:
        said = (
            f"the first shown wins {percent(first.value)} of {first.n}, "
            f"{percent(person.expected)} are expected"
        )
        clear = binomial_p(round(first.value * first.n), first.n, person.expected) < STRICT
        if clear and first.low > person.expected + LEAN:
            found.append(Mark("left", "leans to the left", "bad", said))
        elif clear and first.high < person.expected - LEAN:
            found.append(Mark("right", "leans to the right", "bad", said))
    if person.fast and person.fast.n >= FEW and person.fast.low > FAST:
        share = percent(person.fast.value)
        why = f"{share} of {person.fast.n} took under a quarter of the usual time"
        found.append(Mark("fast", "too fast", "warn", why))
    gold = person.gold
    if gold and gold.n >= FEW_GOLD and gold.high < GOLD:
        around = f"({percent(gold.low)} to {percent(gold.high)})"
        why = f"{percent(gold.value)} right on {gold.n} gold items {around}"
        found.append(Mark("gold", "misses the known answers", "bad", why))
    return found
