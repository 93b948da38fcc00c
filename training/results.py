"""What a result.json says, made ready for a page: tables, baselines, classes, evaluations side by
side. Its numbers come from a file that is not believed: what is no number is left out."""

from collections.abc import Iterable
from typing import Any, TypeGuard

from django.db.models import QuerySet, prefetch_related_objects

from exports.models import Snapshot
from training import charts
from training.inputs import model_name
from training.models import Run, RunInput
from training.recipes.configs import RECIPES

# Metrics before and after: label, and whether less is better (None: neither).
METRICS: dict[str, tuple[str, bool | None]] = {
    "loss": ("Loss", True),
    "perplexity": ("Perplexity", True),
    "token_accuracy": ("Token accuracy", False),
    "rejected_loss": ("Loss of the worse answers", None),
    "accuracy": ("Accuracy", False),
    "macro_f1": ("F1, mean over the labels", None),
    "log_loss": ("Log loss of the pairs", True),
    "ece": ("Calibration error", None),  # who knows nothing, and is sure of nothing, has none
    "separation": ("Good above bad (AUC)", False),
    "margin": ("Margin", None),
    "bleu": ("BLEU", False),
    "chrf": ("chrF", False),
    "rouge_l": ("ROUGE-L", False),
    "exact_match": ("Exact match", False),
    "objective": ("Objective: reward less penalty and price of KL", False),
    "reward_mean": ("Mean reward", False),
    "reward_std": ("Spread of the reward", None),
    "reward_chosen": ("Implicit reward, better answers", None),
    "reward_rejected": ("Implicit reward, worse answers", None),
    "logp_chosen": ("Log-probability, better answers", None),
    "logp_rejected": ("Log-probability, worse answers", None),
    "kl": ("KL to the start", None),
    "length": ("Length, in tokens", None),
    "eos_share": ("Answers that end", False),
}
COUNTS = {"rows", "pairs", "prompts", "low", "high", "most_common"}
BASELINES = {
    "longer_wins": "the longer answer wins",
    "shorter_wins": "the shorter answer wins",
    "word_model": "a model of words (TF-IDF)",
}
FEW = 10  # prompts below which no lead is called one
# Whose mean reward has no zero that means anything from one run to the next; PPO has an objective.
UNSETTLED = ("reward", "dpo", "kto", "ppo")
MOST_CLASSES = 30


def title_of(recipe: str) -> str:
    return RECIPES[recipe].title if recipe in RECIPES else recipe


def is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def part(whole: Any, name: str) -> dict[str, Any]:
    """A mapping within a mapping; empty where it is none."""
    found = whole.get(name) if isinstance(whole, dict) else None
    return found if isinstance(found, dict) else {}


def metrics_of(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    """Before and after."""
    metrics = part(run.result, "metrics")
    return part(metrics, "before"), part(metrics, "after")


def value_of(value: Any, around: dict[str, Any]) -> str:
    """A number with its interval, where there is one; a dash for none."""
    if not is_number(value):
        return "–"
    low, high = around.get("low"), around.get("high")
    if is_number(low) and is_number(high):
        return f"{value:.2f} ({low:.2f} to {high:.2f})"
    return charts.number(value)


def label_of(name: str) -> str:
    return METRICS.get(name, (name.replace("_", " ").capitalize(), None))[0]


def table(run: Run) -> list[dict[str, Any]]:
    """Numbers before and after, by the same code."""
    before, after = metrics_of(run)
    rows = []
    for name in [*METRICS, *sorted((before.keys() | after.keys()) - METRICS.keys() - COUNTS)]:
        one, two = before.get(name), after.get(name)
        if not (is_number(one) or is_number(two)):
            continue
        interval = name == "accuracy"
        rows.append(
            {
                "label": label_of(name),
                "before": value_of(one, before if interval else {}),
                "after": value_of(two, after if interval else {}),
                "better": _better(run.recipe, name, one, two, after if interval else {}),
            }
        )
    return rows


def _better(recipe: str, name: str, one: Any, two: Any, around: dict[str, Any]) -> str:
    """better, worse, or nothing to speak of."""
    less = METRICS.get(name, ("", None))[1]
    if less is None or not (is_number(one) and is_number(two)):
        return ""
    if name == "reward_mean" and recipe in UNSETTLED:
        return ""
    moved = abs(two - one) > 0.01 * max(abs(one), abs(two))
    if is_number(around.get("low")) and is_number(around.get("high")):
        moved = not around["low"] <= one <= around["high"]  # chance explains it as well
    return ("better" if (two < one) == less else "worse") if moved else ""


def baselines(run: Run) -> list[dict[str, str]]:
    """What takes no model, or next to none, and how far the model is ahead: in words."""
    _, after = metrics_of(run)
    rows = []
    for name, label in BASELINES.items():
        found = part(after, name)
        if is_number(found.get("share")):
            said, tone = verdict(label, part(found, "ahead"), after.get("prompts"))
            shown = value_of(found["share"], found)
            rows.append({"label": label, "value": shown, "verdict": said, "tone": tone})
    common, low, high = (after.get(name) for name in ("most_common", "low", "high"))
    if is_number(common) and is_number(low) and is_number(high):
        label = "always the most common label"
        tone = "good" if low > common else "bad" if high < common else ""
        said = {"good": "better than it", "bad": "worse than it"}.get(
            tone, "not shown to be better"
        )
        rows.append({"label": label, "value": f"{common:.2f}", "verdict": said, "tone": tone})
    return rows


def verdict(label: str, ahead: dict[str, Any], prompts: Any) -> tuple[str, str]:
    """ "better by 3.1 points [1, 5]" and a tone. In points of a hundred, with a 95 % interval."""
    mean, low, high = (ahead.get(name) for name in ("mean", "low", "high"))
    if not (is_number(mean) and is_number(low) and is_number(high)):
        return "", ""
    said = f"by {abs(100 * mean):.1f} points [{_signed(low)}, {_signed(high)}]"
    if is_number(prompts) and prompts < FEW:
        return f"{'ahead' if mean >= 0 else 'behind'} {said}: too few prompts to say", ""
    if low > 0:
        return f"better {said}", "good"
    if high < 0:
        return f"worse {said}", "bad"
    return f"{'ahead' if mean >= 0 else 'behind'} {said}: not shown", ""


def _signed(share: float) -> str:
    points = round(100 * share, 1)
    return f"{points:g}".replace("-", "−") if points else "0"


def classes(run: Run) -> list[dict[str, Any]]:
    """Precision, recall and F1 of each label, and where its rows went."""
    _, after = metrics_of(run)
    rows, confusion = after.get("classes"), after.get("confusion")
    if not isinstance(rows, list) or not isinstance(confusion, list):
        return []
    found: list[dict[str, Any]] = []
    for row, counts in list(zip(rows, confusion, strict=False))[:MOST_CLASSES]:
        if not isinstance(row, dict) or not isinstance(counts, list):
            continue
        most = max([n for n in counts if is_number(n)] or [0])
        found.append(
            {
                "name": str(row.get("name"))[:60],
                "rows": row.get("rows"),
                **{key: value_of(row.get(key), {}) for key in ("precision", "recall", "f1")},
                "counts": [
                    {"count": n if is_number(n) else 0, "right": i == len(found),
                     "most": bool(most) and n == most}
                    for i, n in enumerate(counts[:MOST_CLASSES])
                ],
            }
        )  # fmt: skip
    return found


def calibration(run: Run) -> dict[str, Any] | None:
    """Is it as sure as it is right? The chart, and a sentence."""
    _, after = metrics_of(run)
    rows = after.get("bins")
    keys = ("sure", "right", "pairs")
    bins = [
        row
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict) and all(is_number(row.get(key)) for key in keys)
    ]
    if not bins:
        return None
    pairs = sum(row["pairs"] for row in bins) or 1
    over = sum((row["sure"] - row["right"]) * row["pairs"] for row in bins) / pairs
    if abs(over) < 0.03:
        said = "On the whole it is as sure as it is right."
    elif over > 0:
        said = f"It is too sure: by {100 * over:.0f} points on average."
    else:
        said = f"It is right more often than it is sure: by {-100 * over:.0f} points on average."
    return {"svg": charts.reliability("As sure as it is right", bins), "said": said}


def win_rate(run: Run) -> dict[str, str] | None:
    """How often the model's answers beat the other one's, and what that says."""
    found = part(part(run.result, "metrics"), "win_rate")
    share, low, high = (found.get(name) for name in ("share", "low", "high"))
    if not (is_number(share) and is_number(low) and is_number(high)):
        return None
    said, tone = "No winner is shown: the interval holds one half.", ""
    if low > 0.5:
        said, tone = "It wins more often than not.", "good"
    elif high < 0.5:
        said, tone = "The other one wins more often than not.", "bad"
    interval = f"{100 * low:.0f} to {100 * high:.0f} %"
    return {"share": f"{100 * share:.0f} %", "interval": interval, "said": said, "tone": tone}


def headline(run: Run) -> str:
    """The number that one asks for first, of a run that succeeded."""
    before, after = metrics_of(run)
    if run.recipe == "evaluate":
        if win := win_rate(run):
            return f"wins {win['share']}"
        name = next((n for n in ("accuracy", "loss", "reward_mean") if is_number(after.get(n))), "")
        return f"{name.replace('_mean', '')} {charts.number(after[name])}" if name else ""
    by = {"reward": "accuracy", "dpo": "accuracy", "classify": "accuracy", "ppo": "objective"}
    name = by.get(run.recipe, "loss")
    if is_number(after.get(name)):
        if is_number(before.get(name)):
            return f"{name} {charts.number(before[name])} → {charts.number(after[name])}"
        return f"{name} {charts.number(after[name])}"
    delivered = part(run.result, "delivered")
    return f"{delivered['answers']} answers" if "answers" in delivered else ""


def side_by_side(runs: Iterable[Run]) -> dict[str, Any] | None:
    """Evaluations with the metrics that any of them has, a column each; None for none."""
    found = list(runs)
    if not found:
        return None
    prefetch_related_objects(found, "inputs__source", "inputs__snapshot__dataset")
    after = {run.pk: metrics_of(run)[1] for run in found}
    names = [n for n in METRICS if any(is_number(row.get(n)) for row in after.values())]
    rows = []
    for run in found:
        inputs = {row.name: row for row in run.inputs.all()}
        top = inputs.get("init") or inputs.get("model")
        step = top.path.rpartition("step-")[2] if top and top.source and top.path else ""
        snapshot = inputs["snapshot"].snapshot if "snapshot" in inputs else None
        win = win_rate(run)
        rows.append(
            {
                "run": run,
                "model": _short(top) if top else "",
                "step": step,
                "snapshot": snapshot,
                "split": str(part(run.result, "metrics").get("split") or ""),
                "values": [value_of(after[run.pk].get(name), {}) for name in names],
                "win": f"{win['share']} ({win['interval']})" if win else "",
            }
        )
    return {
        "names": [label_of(name) for name in names],
        "rows": rows,
        "wins": any(row["win"] for row in rows),
    }


def _short(row: RunInput) -> str:
    if row.source is not None and row.source.recipe != "convert":
        return f"run {row.source.pk} · {title_of(row.source.recipe)}"
    return model_name(row.source or row.path)


def evaluations_of(run: Run) -> "QuerySet[Run]":
    """The evaluations of this run's model and of its checkpoints, newest first."""
    measured = RunInput.objects.filter(source=run, name__in=("init", "model"))
    rows = Run.objects.filter(recipe="evaluate", workspace=run.workspace_id)
    return rows.filter(pk__in=measured.values("run")).order_by("-pk")


def evaluations_on(snapshot: Snapshot) -> "QuerySet[Run]":
    """The evaluations that read this snapshot, newest first."""
    rows = Run.objects.filter(recipe="evaluate", inputs__snapshot=snapshot)
    return rows.order_by("-pk")


def judged_itself(run: Run) -> bool:
    """Was the measured model trained by the very reward run that judges it here?"""
    inputs = {row.name: row.source for row in run.inputs.select_related("source")}
    judge, policy = inputs.get("reward"), inputs.get("init") or inputs.get("model")
    if run.recipe != "evaluate" or judge is None:
        return False
    seen: set[int] = set()
    while policy is not None and policy.pk not in seen:
        seen.add(policy.pk)
        rows = {row.name: row.source for row in policy.inputs.select_related("source")}
        if rows.get("reward") == judge:
            return True
        policy = rows.get("init") or rows.get("model")
    return False
