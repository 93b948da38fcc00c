"""What the figures of agreement mean, in words for a lead who is no statistician. Pure."""

from typing import Literal

from annotation.bootstrap import Agreement
from annotation.shares import PositionBias

Verdict = Literal["unknown", "early", "good", "fair", "weak", "none"]


def said(metric: str, agreement: Agreement) -> tuple[Verdict, str]:
    """The verdict on an agreement, and a sentence: what it means and what to do next.

    `metric`: "nominal", "ordinal", "interval" (Krippendorff's alpha), "cohen", "fleiss", "tau"
    (mean Kendall's tau-b), "same_top"."""
    if agreement.value is None:
        return "unknown", "Nobody judged the same item."
    return "fair", "In the middle."


def said_of_position(bias: PositionBias) -> str:
    return ""
