"""What the rubric's answers say so far, question by question."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Count, Q

from annotation import rubric
from annotation.models import Stage, Submission

NEWEST = 2000  # submissions that are read: the page stays quick, and says so


def report(stage: Stage) -> dict[str, Any] | None:
    """For the stage's page: of the newest submissions, {"submissions", "all", "questions"}.
    None without questions."""
    if not rubric.in_force(stage.rubric):
        return None
    rows = Submission.objects.filter(stage=stage, state=Submission.State.SUBMITTED)
    newest = list(rows.order_by("-pk").values_list("ratings", flat=True)[:NEWEST])
    return {
        "submissions": len(newest),
        "all": len(newest) < NEWEST,
        "questions": summary(stage.rubric, newest),
    }


def summary(questions: Sequence[rubric.Question], given: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Of each question in force, in order: {"title", "type", "answered", "mean", "values"}. Pure.

    `answered` counts submissions; `values` [{"label", "count", "share"}] counts each answer that
    was rated, its shares in percent of them; of a text there are none."""
    lines = []
    for question in rubric.in_force(questions):
        found = [ratings[question["key"]] for ratings in given if question["key"] in ratings]
        single = [value for answer in found for value in _values(answer)]
        counts = Counter(value for value in single if isinstance(value, str))
        numbers = [value for value in single if isinstance(value, int)]
        counts.update(map(str, numbers))
        offered = [] if question["type"] == "text" else rubric.options(question)
        # Several labels may be given to one thing: shares are of the things that were rated.
        rated = sum(len(answer) if isinstance(answer, Mapping) else 1 for answer in found)
        lines.append(
            {
                "title": question["title"],
                "type": question["type"],
                "about": question["about"],
                "answered": len(found),
                "mean": sum(numbers) / len(numbers) if numbers else None,
                "values": [
                    {
                        "label": option["label"],
                        "count": counts[option["value"]],
                        "share": round(100 * counts[option["value"]] / rated) if rated else 0,
                    }
                    for option in offered
                ],
            }
        )
    return lines


def _values(answer: Any) -> Iterable[Any]:
    """The single values in an answer: about each response, of several labels, or itself."""
    if isinstance(answer, Mapping):
        return [value for each in answer.values() for value in _values(each)]
    return answer if isinstance(answer, list) else [answer]


def kept(stage: Stage, keys: Iterable[str]) -> dict[str, int]:
    """How many submissions hold an answer to each of these questions."""
    asked = {f"n{place}": key for place, key in enumerate(keys)}
    if not asked:
        return {}
    counts = Submission.objects.filter(stage=stage).aggregate(
        **{n: Count("pk", filter=Q(ratings__has_key=key)) for n, key in asked.items()}
    )
    return {key: counts[n] for n, key in asked.items()}
