"""What the figures of agreement mean, in words for a lead who is no statistician. Pure.

Every verdict comes with what was seen and what to do next. Where the steps lie: for alpha and the
kappas at 0.8 and 0.667 (Krippendorff, Content Analysis, 2004, chapter 11) and at 0.2, below which
agreement is slight (Landis and Koch, 1977). Those of tau and of equal answers are ours; trained
labellers who compared chat answers agreed in 73 of 100 comparisons (Ouyang et al., 2022)."""

from dataclasses import dataclass
from typing import Literal

from annotation.bootstrap import Agreement

Verdict = Literal["unknown", "early", "good", "fair", "weak", "none"]
FEW = 20  # items, or decided comparisons: with fewer it is too early
WIDE = 0.5  # an interval as wide as this says nothing yet


@dataclass(frozen=True)
class _Scale:
    good: float
    fair: float
    weak: float
    chance: float | None  # the value that guessing gives, where it is known


_BEYOND_CHANCE = _Scale(0.8, 0.667, 0.2, 0.0)
_TAU = _Scale(0.7, 0.5, 0.2, 0.0)
_EQUAL = _Scale(0.85, 0.75, 0.35, None)
_SCALES = {"tau": _TAU, "same_top": _EQUAL, "top": _EQUAL, "same": _EQUAL}

_NEXT: dict[Verdict, str] = {
    "good": "The answers can be used as they are. A second person on a share of the items is "
    "enough to see that it stays so.",
    "fair": "Good enough where several people's answers are put together. Open the items that "
    "divide people most, and add to the guidelines what would have settled them.",
    "weak": "Do not rely on one person's answer: let three or more people do each item. Open the "
    "items that divide people most, settle ten of them together, and write down in the "
    "guidelines why. If it is a matter of taste the figure may stay low; more people for each "
    "item then help more than more rules.",
    "none": "Do not use these answers yet. Pause the stage and see in the table of people whether "
    "one of them is the cause. If not, go through ten items together, reword the question or the "
    "guidelines, and try again with twenty items.",
}


def said(metric: str, agreement: Agreement) -> tuple[Verdict, str]:
    """The verdict on an agreement, and a few sentences: what it means and what to do next.

    `metric`: "nominal", "ordinal", "interval" (Krippendorff's alpha), "cohen", "fleiss" (kappas),
    "tau" (mean Kendall's tau-b), "top" or "same_top" (the same answer first), "same" (exactly the
    same answer)."""
    if agreement.value is None:
        return "unknown", _why_unknown(agreement)
    if agreement.units < FEW or _width(agreement) >= WIDE:
        return "early", _too_early(agreement)
    verdict = _verdict(_SCALES.get(metric, _BEYOND_CHANCE), agreement)
    sentences = [_seen(metric, agreement), _NEXT[verdict]]
    if agreement.low is not None and agreement.low < _step(metric, verdict):
        sentences.insert(1, "With more items it may still turn out lower.")
    return verdict, " ".join(sentences)


def _why_unknown(agreement: Agreement) -> str:
    if not agreement.units:
        return (
            "No item has answers from two people yet, so there is nothing to compare. Set the "
            "stage's overlap to two or more, or bring in other people's answers."
        )
    return (
        f"On all {agreement.units:,} items that several people did, nobody made a difference: the "
        "same value everywhere, or all answers tied. Then agreement cannot be told from habit. "
        "Look at a few: if the answers are right, the question tells you little and may go; if "
        "not, people click through it."
    )


def _too_early(agreement: Agreement) -> str:
    one = agreement.units == 1
    done = "1 item has" if one else f"{agreement.units:,} items have"
    so_far = f"the figure so far is {_figure(agreement.value)}"
    if agreement.low is not None:
        bounds = f"{_figure(agreement.low)} to {_figure(agreement.high)}"
        so_far += f", and the true one may be anything from {bounds}"
    return (
        f"Too early to say. {done} answers from two people or more; {so_far}. Go on, and look "
        f"again at about {max(50, 3 * agreement.units):,} items. Until then, read where people "
        "differ."
    )


def _verdict(scale: _Scale, agreement: Agreement) -> Verdict:
    value = agreement.value or 0.0
    low = value if agreement.low is None else agreement.low
    if value < scale.weak or (scale.chance is not None and low <= scale.chance):
        return "none"
    return "good" if value >= scale.good else "fair" if value >= scale.fair else "weak"


def _step(metric: str, verdict: Verdict) -> float:
    """From where on a verdict in favour holds; there is none below the others."""
    scale = _SCALES.get(metric, _BEYOND_CHANCE)
    return {"good": scale.good, "fair": scale.fair}.get(verdict, -1.0)


def _seen(metric: str, agreement: Agreement) -> str:
    value = agreement.value or 0.0
    if metric in ("top", "same_top"):
        what = f"Two people put the same answer first {_times(value)}"
        return f"{what}{_sure(agreement, 100, 0)}; guessing between two answers gives 50."
    if metric == "same":
        what = f"Two people said exactly the same {_times(value)}"
        return f"{what}{_sure(agreement, 100, 0)}, counting also what guessing would give."
    if metric == "tau":
        what = f"Two people put two answers in the same order about {_times((1 + value) / 2)}"
        sure = _sure(agreement, 50, 50)
        return f"{what}{sure}; guessing gives 50, trained people who compare chat answers reach 73."
    figure = f"Agreement is {_figure(value)}"
    if agreement.low is not None:
        figure += f" (between {_figure(agreement.low)} and {_figure(agreement.high)})"
    if value == 1:
        return f"{figure}: people never differed."
    if value < 0 and (agreement.high or 0) < 0:
        return f"{figure}: people differ more than by guessing, as if one read the scale reversed."
    if agreement.low is not None and agreement.low <= 0:
        return f"{figure}, where 0 is guessing: this may be no better than drawing lots."
    left = 100 * (1 - value)
    many = f"{left:.0f} times" if left >= 1.5 else "once" if left >= 0.5 else "less than once"
    far = " (a far miss counts more than a near one)" if metric in ("ordinal", "interval") else ""
    return f"{figure}: where guessing would set people at odds 100 times, they are {many}{far}."


def _sure(agreement: Agreement, times: float, plus: float) -> str:
    """The interval in hundredths, for a value of which 0 and 1 stand for `plus` and so on."""
    if agreement.low is None or agreement.high is None:
        return ""
    low, high = (round(plus + times * bound) for bound in (agreement.low, agreement.high))
    return f" ({low} to {high})" if low < high else ""


def _width(agreement: Agreement) -> float:
    if agreement.low is None or agreement.high is None:
        return 0.0
    return agreement.high - agreement.low


def _figure(value: float | None) -> str:
    return f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−") if value is not None else "?"


def _times(share: float) -> str:
    return f"{100 * share:.0f} of 100 times"
