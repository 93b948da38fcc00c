"""How each annotator's work stands beside the others', the known answers and the decisions. Pure.

Nothing here ranks people: each figure has its interval, and what it takes to be marked is a rule
that the page states (quality_marks.py)."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import median
from typing import Any

from annotation.gold_score import score
from annotation.quality_data import Data, Rater, Turn
from annotation.quality_questions import Question, by_chance, likeness
from annotation.shares import Z, wilson

QUICK = 4  # too fast: under a quarter of the usual time of an item …
AT_LEAST = 2.0  # … and under it in any case, seconds
LEAST = 0.05  # weight of one who agrees with nobody


@dataclass(frozen=True, slots=True)
class Share:
    """A share or a mean with its 95 % interval, over `n` things."""

    value: float
    low: float
    high: float
    n: int


@dataclass(slots=True)
class Person:
    """`agreement`: with what most others say: 1 is always the same, 0 as good as chance.
    `gold`, `decided`: how well they met the known answers and the lead's decisions. `fast`: share
    of submissions that took too little time. `first`: how often the answer that was shown first
    came out on top, `expected`: how often it would by chance; `ties`: how often the best place was
    shared."""

    rater: Rater
    submissions: int = 0
    seconds: int = 0
    typical: int | None = None  # seconds, the median
    agreement: Share | None = None
    questions: dict[str, Share] = field(default_factory=dict)
    gold: Share | None = None
    decided: Share | None = None
    reviews: dict[str, int] = field(default_factory=dict)
    accepted: Share | None = None
    fast: Share | None = None
    first: Share | None = None
    expected: float = 0.5
    ties: Share | None = None


def people(data: Data, asked: Sequence[Question]) -> list[Person]:
    """All who handed something in, the busiest first."""
    by_rater: dict[Rater, list[Turn]] = defaultdict(list)
    for turn in data.turns:
        by_rater[turn.rater].append(turn)
    gold: dict[Rater, list[Turn]] = defaultdict(list)
    for turn in data.gold:
        gold[turn.rater].append(turn)
    agreed = agreement(asked)
    usual = usual_seconds(by_rater)
    found = []
    for rater in {*by_rater, *gold}:
        turns = by_rater.get(rater, [])
        person = Person(rater, len(turns) + len(gold.get(rater, [])))
        person.agreement, person.questions = agreed.get(rater, (None, {}))
        _time(person, [*turns, *gold.get(rater, [])], usual)
        _habits(person, turns, data)
        person.gold = _mean(
            score(data.answers[turn.item], turn.said)
            for turn in gold.get(rater, [])
            if turn.item in data.answers
        )
        person.decided = _mean(_decided(turn, data) for turn in turns if turn.item in data.decided)
        person.reviews = data.reviews.get(rater, {})
        looked = sum(person.reviews.values())
        person.accepted = share_of(person.reviews.get("accept", 0), looked) if looked else None
        found.append(person)
    return sorted(found, key=lambda person: (-person.submissions, str(person.rater)))


def share_of(hits: float, n: int) -> Share:
    """A share with Wilson's interval; `hits` may be a sum of parts."""
    low, high = wilson(hits, n) or (0.0, 1.0)
    return Share(hits / n, low, high, n)


def _mean(scores: Iterable[float | None]) -> Share | None:
    known = [each for each in scores if each is not None]
    return share_of(min(sum(known), len(known)), len(known)) if known else None


def _decided(turn: Turn, data: Data) -> float | None:
    """Their own was chosen: 1; a text that was not: 0; else how near it comes to the decision."""
    chosen, content = data.decided[turn.item]
    if chosen == turn.pk and turn.said is turn.counts:
        return 1.0
    if content.get("order") or content.get("ratings"):
        return score(content, turn.said)
    return 0.0


def usual_seconds(by_rater: Mapping[Rater, Sequence[Turn]]) -> float | None:
    """The usual time of an item here: the median of the annotators' medians, so that one who does
    very much does not set it. None where no time is known, as of imported work."""
    medians = []
    for turns in by_rater.values():
        taken = [turn.seconds for turn in turns if turn.seconds]
        if taken:
            medians.append(median(taken))
    return median(medians) if medians else None


def _time(person: Person, turns: Sequence[Turn], usual: float | None) -> None:
    if usual is None or isinstance(person.rater, str):
        return
    times = [turn.seconds for turn in turns]
    person.seconds = sum(times)
    taken = [seconds for seconds in times if seconds]
    person.typical = round(median(taken)) if taken else None
    limit = max(usual / QUICK, AT_LEAST)
    person.fast = share_of(sum(seconds < limit for seconds in times), len(times)) if times else None


def _habits(person: Person, turns: Sequence[Turn], data: Data) -> None:
    """Of comparisons: is it the first one shown that wins, and are ties used? The order is drawn
    for users only: imported rankings were made who knows how."""
    compared = tied = won = 0
    expected = 0.0
    for turn in turns:
        order = turn.order
        if order is None or not turn.shown:
            continue
        compared += 1
        if len(order[0]) > 1:
            tied += 1
        else:
            answers = data.candidates.get(turn.item) or sorted(turn.shown)
            won += answers[order[0][0]] == turn.shown[0]
            expected += 1 / len(turn.shown)
    if compared:
        person.ties = share_of(tied, compared)
    if compared > tied and not isinstance(person.rater, str):
        person.first = share_of(won, compared - tied)
        person.expected = expected / (compared - tied)


def agreement(asked: Sequence[Question]) -> dict[Rater, tuple[Share | None, dict[str, Share]]]:
    """Each annotator's agreement with what most others say, and question by question.

    Over the units that they share with others: the mean likeness to the others' common answer, less
    what chance gives, over the most there is beyond chance (as Cohen's kappa). Others count by how
    far they agree themselves, which is found in a first round, so that a spammer does not make
    everybody look bad."""
    patterns = _patterns(asked)
    first = _round(asked, patterns, {})
    weights = {rater: max(share.value, LEAST) for rater, (share, _) in first.items() if share}
    return _round(asked, patterns, weights)


# What was said about one item: (the question's place, (annotator, value) of each who said it).
Pattern = tuple[tuple[int, tuple[tuple[Rater, Any], ...]], ...]


def _patterns(asked: Sequence[Question]) -> Counter[Pattern]:
    """How many items there are of each pattern: of 100,000 items of two people a few hundred."""
    items: dict[int, list[tuple[int, tuple[tuple[Rater, Any], ...]]]] = defaultdict(list)
    for place, question in enumerate(asked):
        for (item, _), values in question.units.items():
            if len(values) > 1:
                items[item].append((place, tuple(values.items())))
    return Counter(map(tuple, items.values()))


def _round(
    asked: Sequence[Question], patterns: Mapping[Pattern, int], weights: Mapping[Rater, float]
) -> dict[Rater, tuple[Share | None, dict[str, Share]]]:
    alikes = [likeness(question) for question in asked]
    # By annotator and question: (the pattern's number, likeness, weight) of each unit, and answers.
    heard: dict[Rater, dict[int, list[tuple[int, float, float]]]] = defaultdict(dict)
    mine_all: dict[tuple[Rater, int], Counter[Any]] = defaultdict(Counter)
    theirs_all: dict[tuple[Rater, int], Counter[Any]] = defaultdict(Counter)
    counts = list(patterns.values())
    for number, pattern in enumerate(patterns):
        for place, values in pattern:
            # The one other's answer, or of several the common one.
            if len(values) == 2:
                (one, a), (other, b) = values
                if (like := alikes[place](a, b)) is None:
                    continue
                n = counts[number]
                for who, mine, whom, theirs in ((one, a, other, b), (other, b, one, a)):
                    unit = (number, like, weights.get(whom, 1.0))
                    heard[who].setdefault(place, []).append(unit)
                    mine_all[who, place][mine] += n
                    theirs_all[who, place][theirs] += n
                continue
            for rater, mine in values:
                others = [(v, weights.get(r, 1.0)) for r, v in values if r != rater]
                common = common_answers(others, alikes[place])
                likes = [like for each in common if (like := alikes[place](mine, each)) is not None]
                if likes:
                    trust = max(weight for _, weight in others)
                    unit = (number, sum(likes) / len(likes), trust)
                    heard[rater].setdefault(place, []).append(unit)
                    mine_all[rater, place][mine] += counts[number]
                    for each in common:
                        theirs_all[rater, place][each] += counts[number]
    found = {}
    for rater, by_place in heard.items():
        total: Sums = {}
        each_question = {}
        for place, units in by_place.items():
            chance = by_chance(asked[place], mine_all[rater, place], theirs_all[rater, place])
            if chance > 1 - 1e-9:
                continue  # everybody says the same always: nothing can be told
            own: Sums = {}
            for number, likely, trust in units:
                for sums in (own, total):
                    pair = sums.setdefault(number, [0.0, 0.0, counts[number]])
                    pair[0] += trust * (likely - chance)
                    pair[1] += trust * (1 - chance)
            if share := ratio(own.values()):
                each_question[asked[place].key] = share
        found[rater] = (ratio(total.values()), each_question)
    return found


def common_answers(
    others: Sequence[tuple[Any, float]], alike: Callable[[Any, Any], float | None]
) -> list[Any]:
    """The answer that is most like all of these, each (answer, weight); several in a tie."""
    if len(others) == 1:
        return [others[0][0]]
    votes: Counter[Any] = Counter()
    for value, weight in others:
        votes[value] += weight  # type: ignore[assignment]
    near = {
        one: sum(weight * (alike(one, other) or 0.0) for other, weight in votes.items())
        for one in votes
    }
    most = max(near.values())
    return [value for value, much in near.items() if much > most - 1e-9]


# By pattern: what lies above chance, the most that could, how many items.
Sums = dict[int, list[float]]


def ratio(rows: Iterable[Sequence[float]]) -> Share | None:
    """Sum over sum of (part, whole, how many such), with the interval of a ratio of means over
    independent items (the delta method)."""
    known = list(rows)
    below = sum(whole * n for _, whole, n in known)
    items = sum(int(n) for *_, n in known)
    if items < 2 or below <= 0:
        return None
    value = sum(part * n for part, _, n in known) / below
    spread = sum(n * (part - value * whole) ** 2 for part, whole, n in known)
    half = Z * sqrt(spread * items / (items - 1)) / below
    return Share(value, max(value - half, -1.0), min(value + half, 1.0), items)
