"""A run's charts, drawn from the metrics in its rows."""

from typing import Any

from django.db.models import F
from django.db.models.functions import Mod

from training import charts, results
from training.models import Run

# A chart a row: its title, and the metrics that share it.
CHARTS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "sft": [
        ("Loss", ("loss", "eval_loss")),
        ("Token accuracy", ("token_accuracy", "eval_token_accuracy")),
    ],
    "reward": [
        ("Loss", ("loss", "eval_loss")),
        ("Accuracy", ("accuracy", "eval_accuracy")),
        ("Margin", ("margin",)),
    ],
    "pretrain": [("Loss", ("loss", "eval_loss"))],
    "dpo": [
        ("Loss", ("loss", "eval_loss")),
        ("Pairs told apart", ("accuracy", "eval_accuracy")),
        ("Implicit reward", ("reward_chosen", "reward_rejected")),
        ("Log-probability of the answers", ("logp_chosen", "logp_rejected")),
        ("Margin", ("margin",)),
    ],
    "kto": [
        ("Loss", ("loss", "eval_loss")),
        ("Implicit reward", ("reward_chosen", "reward_rejected")),
        ("Log-probability of the answers", ("logp_chosen", "logp_rejected")),
        ("KL to the reference", ("kl",)),
    ],
    "classify": [
        ("Loss", ("loss", "eval_loss")),
        ("Accuracy", ("accuracy", "eval_accuracy")),
    ],
    "ppo": [
        ("Objective: reward less penalty and price of KL", ("objective", "eval_objective")),
        ("Reward", ("reward", "eval_reward_mean")),
        ("KL to the start", ("kl", "eval_kl")),
        ("Length, in tokens", ("length",)),
        ("Answers that end", ("eos_share",)),
        ("Entropy, in nats a token", ("entropy",)),
        ("Policy and value loss", ("policy_loss", "value_loss")),
    ],
}
NAMES = {"loss": "training", "token_accuracy": "training", "accuracy": "training",
         "eval_loss": "validation", "eval_token_accuracy": "validation",
         "eval_accuracy": "validation", "reward": "training", "eval_reward_mean": "validation",
         "objective": "training", "eval_objective": "validation",
         "kl": "training", "eval_kl": "validation", "policy_loss": "policy", "value_loss": "value",
         "reward_chosen": "better", "reward_rejected": "worse",
         "logp_chosen": "better", "logp_rejected": "worse"}  # fmt: skip
TITLES = {"grad_norm": "Gradient norm", "kl_coef": "Price of the KL", "clip_share": "Clipped share",
          "ratio": "Policy ratio", "reward_penalised": "Reward less penalties"}  # fmt: skip
MOST_EVENTS = 4000  # read for charts; of more, every so-manieth


def series(run: Run) -> dict[str, list[charts.Point]]:
    """Metric -> (step, value), in order, without what a resume has superseded."""
    rows = run.events.filter(kind="metrics", superseded=False)
    every = rows.count() // MOST_EVENTS + 1
    if every > 1:
        rows = rows.annotate(turn=Mod(F("seq"), every)).filter(turn=0)
    found: dict[str, list[charts.Point]] = {}
    for step, data in rows.order_by("step", "pk").values_list("step", "data"):
        for name, value in (data.get("values") or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found.setdefault(name, []).append((step, value))
    return found


def drawn(run: Run) -> list[dict[str, Any]]:
    """The run's charts: those that its recipe is known for, then one each for what else it says."""
    points = series(run)
    known = CHARTS.get(run.recipe, [])
    listed = {name for _, names in known for name in names}
    rest = [
        (TITLES.get(name, name.replace("_", " ").capitalize()), (name,))
        for name in points
        if name not in listed
    ]
    found = []
    for title, names in [*known, *sorted(rest)]:
        lines = [
            charts.Line(NAMES.get(name, title.lower()), points[name], style)
            for name, style in zip(names, ("l1", "l2"), strict=False)
            if points.get(name)
        ]
        if lines:
            found.append(
                {
                    "title": title,
                    "known": (title, names) in known,
                    "svg": charts.chart(title, lines, _mark(run, names[0])),
                    "legend": [
                        {
                            "name": each.name if len(lines) > 1 else "",
                            "style": each.style,
                            "last": charts.number(each.points[-1][1]),
                            "range": _range([value for _, value in each.points]),
                        }
                        for each in lines
                    ],
                }
            )
    return found


def _range(values: list[float]) -> str:
    """From the least to the most; nothing where both are written alike."""
    low, high = charts.number(min(values)), charts.number(max(values))
    return f"{low} to {high}" if low != high else ""


def _mark(run: Run, name: str) -> tuple[str, float] | None:
    """The baseline that a reward model must beat."""
    if run.recipe == "reward" and name == "accuracy":
        wins = results.part(results.metrics_of(run)[1], "longer_wins")
        if results.is_number(wins.get("share")):
            return ("longer wins", wins["share"])
    return None
