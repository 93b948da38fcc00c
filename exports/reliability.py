"""How much an annotator's word weighs, and why. Pure.

A weight is the share of what somebody said that is as others say, or as is known. Nobody is known
by a few comparisons: a share is drawn towards the mean of all, as if FEW more comparisons of the
mean kind had been made; and what was compared with known answers (gold, a lead's decisions) stands
before what was compared with other people: FEW_KNOWN of them weigh as much as all the rest."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import fsum
from typing import Any

FEW = 20
FEW_KNOWN = 5

Order = Sequence[Sequence[int]]


@dataclass(slots=True)
class Record:
    """One annotator's: of `compared` comparisons or labels `agreed` were as the majority of the
    others has them (part of one where an answer was near), and `right` of `known`."""

    agreed: float = 0.0
    compared: int = 0
    right: float = 0.0
    known: int = 0

    def weight(self, mean: float) -> float:
        """0 to 1; `mean`: the share in which all annotators agree with the others."""
        agrees = (self.agreed + FEW * mean) / (self.compared + FEW)
        return (self.right + FEW_KNOWN * agrees) / (self.known + FEW_KNOWN)


@dataclass(frozen=True)
class Measured:
    """Everybody's record, by annotator; all who said something are in it."""

    records: Mapping[str, Record]
    mean: float

    def weights(self) -> dict[str, float]:
        return {who: record.weight(self.mean) for who, record in self.records.items()}

    def explain(self, annotator: str) -> str:
        """Where the annotator's weight comes from, in words."""
        record = self.records.get(annotator)
        if record is None:
            return "Nothing they said was read, so their word weighs 1."
        told = []
        if record.known:
            told.append(f"right in {_share(record.right, record.known)} known answers")
        if record.compared:
            share = _share(record.agreed, record.compared)
            told.append(f"as the majority of the others in {share} comparisons")
        found = ", ".join(told) or "nobody else judged the same, and no answer was known"
        mean = f"drawn towards {self.mean:.2f}, the mean of all"
        return f"{record.weight(self.mean):.2f}: {found}; {mean}."


def _share(part: float, whole: int) -> str:
    return f"{part:,.1f}".removesuffix(".0") + f" of {whole:,}"


@dataclass
class Tally:
    """Adds up units, each {annotator: value}. `kind`: label (the same or not), rating (how near to
    the mean of the others, as a share of `spread`), labels (the share of those ticked by either
    that both ticked, the others ticking what more than half of them did)."""

    records: dict[str, Record] = field(default_factory=dict)

    def met(self, annotator: str) -> Record:
        """Their record, a new one if need be."""
        if (record := self.records.get(annotator)) is None:
            record = self.records[annotator] = Record()
        return record

    def compare(self, values: Mapping[str, Any], kind: str = "label", spread: float = 1) -> None:
        """Everybody with the others; where these are divided nothing is said of who it is."""
        for who in values:
            self.met(who)
        if len(values) < 2:
            return
        if kind == "label" and len(set(values.values())) == 1:  # most often: quicker
            for who in values:
                record = self.records[who]
                record.agreed += 1
                record.compared += 1
            return
        for who, expected in _of_the_others(values, kind):
            record = self.met(who)
            record.agreed += nearness(values[who], expected, kind, spread)
            record.compared += 1

    def judge(
        self, values: Mapping[str, Any], truth: Any, kind: str = "label", spread: float = 1
    ) -> None:
        """Everybody by what is known."""
        for who, value in values.items():
            record = self.met(who)
            record.right += nearness(value, truth, kind, spread)
            record.known += 1

    def measured(self) -> Measured:
        compared = sum(record.compared for record in self.records.values())
        agreed = fsum(record.agreed for record in self.records.values())
        known = sum(record.known for record in self.records.values())
        right = fsum(record.right for record in self.records.values())
        mean = agreed / compared if compared else right / known if known else 1.0
        return Measured(self.records, mean)


def nearness(value: Any, expected: Any, kind: str, spread: float) -> float:
    """How near what somebody said is to what was expected, 0 to 1."""
    if kind == "rating":
        return max(0.0, 1 - abs(value - expected) / spread)
    if kind == "labels":
        every = len({*value} | {*expected})
        return len({*value} & {*expected}) / every if every else 1.0
    return float(value == expected)


def _of_the_others(values: Mapping[str, Any], kind: str) -> Iterator[tuple[str, Any]]:
    """(annotator, what the others say together), where they say one thing."""
    others = len(values) - 1
    if kind == "rating":
        total = sum(values.values())
        yield from ((who, (total - value) / others) for who, value in values.items())
        return
    if kind == "labels":
        ticked = Counter(option for value in values.values() for option in value)
        for who, value in values.items():
            yield who, {one for one, n in ticked.items() if 2 * (n - (one in value)) > others}
        return
    votes: dict[Any, int] = {}
    for value in values.values():
        votes[value] = votes.get(value, 0) + 1
    most = max(votes.values())
    leading = [value for value, n in votes.items() if n == most]
    next_most = max((n for n in votes.values() if n < most), default=0)
    for who, value in values.items():
        # Without their own vote: who leads then, if one does.
        rest = [other for other in leading if other != value] if votes[value] == most else leading
        if len(rest) == 1:
            yield who, rest[0]
        elif not rest and most - 1 > next_most:
            yield who, value


def ways(order: Order) -> Iterator[tuple[tuple[int, int], int]]:
    """((one answer, another with a higher number), 1 if the first is better, -1, or 0 in a tie)."""
    place = {answer: n for n, group in enumerate(order) for answer in group}
    for one, other in combinations(sorted(place), 2):
        yield (one, other), (place[one] < place[other]) - (place[one] > place[other])


def by_pair(orders: Mapping[str, Order]) -> dict[tuple[int, int], dict[str, int]]:
    """Of each two answers who says what, as `ways` has it."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for who, order in orders.items():
        for pair, way in ways(order):
            found.setdefault(pair, {})[who] = way
    return found
