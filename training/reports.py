"""What a run has to say, read from its rows and made ready for a page."""

from datetime import datetime
from typing import Any

from django.db.models import F
from django.db.models.functions import Mod
from django.utils import timezone
from django.utils.timesince import timesince

from training import charts
from training.inputs import model_name
from training.models import Run, RunEvent
from training.recipes.configs import RECIPES

State = Run.State
TONES = {State.SUCCEEDED: "good", State.FAILED: "bad", State.CANCELLED: "", State.WAITING: "",
         State.QUEUED: "", State.STOPPING: "warn", State.INTERRUPTED: "warn"}  # fmt: skip
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
    "ppo": [
        ("Reward", ("reward",)),
        ("KL to the start", ("kl",)),
        ("Length, in tokens", ("length",)),
        ("Answers that end", ("eos_share",)),
        ("Policy and value loss", ("policy_loss", "value_loss")),
    ],
}
NAMES = {"loss": "training", "token_accuracy": "training", "accuracy": "training",
         "eval_loss": "validation", "eval_token_accuracy": "validation",
         "eval_accuracy": "validation", "policy_loss": "policy", "value_loss": "value"}  # fmt: skip
TITLES = {"grad_norm": "Gradient norm", "kl_coef": "Price of the KL", "clip_share": "Clipped share",
          "ratio": "Policy ratio"}  # fmt: skip
MOST_EVENTS = 4000  # read for charts; of more, every so-manieth
# Metrics before and after: label, and whether less is better.
METRICS = {
    "loss": ("Loss on the test rows", True),
    "token_accuracy": ("Token accuracy", False),
    "accuracy": ("Accuracy on the test pairs", False),
    "reward_mean": ("Mean reward", False),
    "reward_std": ("Spread of the reward", None),
    "kl": ("KL to the start", None),
    "length": ("Length, in tokens", None),
    "eos_share": ("Answers that end", False),
}
COUNTS = {"rows", "pairs", "low", "high"}


def span(seconds: float) -> str:
    """ "6 min", "2 h 5 min", "40 s"."""
    seconds = int(seconds)
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def line(run: Run) -> dict[str, Any]:
    """A run as lists show it."""
    took = (run.finished or timezone.now()) - run.started if run.started else None
    return {
        "run": run,
        "title": RECIPES[run.recipe].title if run.recipe in RECIPES else run.recipe,
        "tone": TONES.get(State(run.state), "on"),
        "share": min(100, round(100 * run.step / run.total)) if run.total else 0,  # per cent
        "left": span(run.seconds_left) if run.seconds_left is not None else "",
        "took": span(took.total_seconds()) if took else "",
        "headline": headline(run),
    }


def headline(run: Run) -> str:
    """The number that one asks for first, of a run that succeeded."""
    metrics = run.result.get("metrics") or {}
    before, after = metrics.get("before") or {}, metrics.get("after") or {}
    name = {"sft": "loss", "reward": "accuracy", "ppo": "reward_mean"}.get(run.recipe, "")
    if isinstance(after.get(name), int | float):
        label = name.replace("_mean", "")
        if isinstance(before.get(name), int | float):
            return f"{label} {charts.number(before[name])} → {charts.number(after[name])}"
        return f"{label} {charts.number(after[name])}"
    delivered = run.result.get("delivered") or {}
    return f"{delivered['answers']} answers" if "answers" in delivered else ""


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
                    "svg": charts.chart(title, lines, _mark(run, names[0])),
                    "legend": [
                        {
                            "name": each.name if len(lines) > 1 else "",
                            "style": each.style,
                            "last": charts.number(each.points[-1][1]),
                            "low": charts.number(min(v for _, v in each.points)),
                            "high": charts.number(max(v for _, v in each.points)),
                        }
                        for each in lines
                    ],
                }
            )
    return found


def _mark(run: Run, name: str) -> tuple[str, float] | None:
    """The baseline that a reward model must beat."""
    if run.recipe == "reward" and name == "accuracy":
        wins = ((run.result.get("metrics") or {}).get("after") or {}).get("longer_wins") or {}
        if isinstance(wins.get("share"), int | float):
            return ("longer wins", wins["share"])
    return None


def table(run: Run) -> list[dict[str, Any]]:
    """Numbers on the test split before and after, by the same code."""
    metrics = run.result.get("metrics") or {}
    before, after = metrics.get("before") or {}, metrics.get("after") or {}
    rows = []
    for name in [*METRICS, *sorted((before.keys() | after.keys()) - METRICS.keys() - COUNTS)]:
        one, two = before.get(name), after.get(name)
        if not any(isinstance(value, int | float) for value in (one, two)):
            continue
        label, less = METRICS.get(name, (name.replace("_", " ").capitalize(), None))
        interval = name == "accuracy"
        better = ""
        means = less is not None and (run.recipe != "reward" or name == "accuracy")
        if means and isinstance(one, int | float) and isinstance(two, int | float):
            moved = abs(two - one) > 0.01 * max(abs(one), abs(two))  # less is nothing to speak of
            if interval and isinstance(after.get("low"), int | float):
                moved = not after["low"] <= one <= after["high"]  # chance explains it as well
            better = ("better" if (two < one) == less else "worse") if moved else ""
        rows.append(
            {
                "label": label,
                "before": _value(one, before if interval else {}),
                "after": _value(two, after if interval else {}),
                "better": better,
            }
        )
    wins = after.get("longer_wins") or before.get("longer_wins") or {}
    if isinstance(wins, dict) and isinstance(wins.get("share"), int | float):
        shown = _value(wins["share"], wins)
        rows.append({"label": "Baseline: the longer answer wins", "before": shown, "after": shown,
                     "better": ""})  # fmt: skip
    return rows


def _value(value: Any, around: dict[str, Any]) -> str:
    """A number with its interval, where there is one; a dash for none."""
    if not isinstance(value, int | float):
        return "–"
    low, high = around.get("low"), around.get("high")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return f"{value:.2f} ({low:.2f} to {high:.2f})"
    return charts.number(value)


def counted(run: Run) -> str:
    """On how many test rows the table stands."""
    metrics = run.result.get("metrics") or {}
    after = metrics.get("after") or {}
    split = metrics.get("split") or "test"
    for name in ("pairs", "rows", "prompts"):
        if isinstance(after.get(name), int):
            return f"{after[name]} {name} of the {split} split"
    return f"the {split} split"


def samples(run: Run) -> list[dict[str, str]]:
    """The same prompt before and after; while it works, what it last wrote."""
    found = run.result.get("samples")
    if isinstance(found, list) and found:
        return [
            {key: str(row.get(key) or "") for key in ("prompt", "before", "after")}
            for row in found[:3]
            if isinstance(row, dict)
        ]
    latest = run.events.filter(kind="sample", superseded=False).order_by("-step", "-pk")[:3]
    return [
        {
            "prompt": str(event.data.get("prompt") or ""),
            "before": str(event.data.get("before") or ""),
            "after": str(event.data.get("text") or event.data.get("after") or ""),
            "step": str(event.step),
            "reward": _value(event.data.get("reward"), {}) if "reward" in event.data else "",
        }
        for event in latest
    ]


def story(run: Run) -> list[RunEvent]:
    """Notes and alarms, newest first."""
    return list(run.events.filter(kind__in=("note", "alarm")).order_by("-time", "-pk")[:30])


def log_tail(run: Run) -> str:
    row = run.events.filter(kind="log").order_by("-attempt").first()
    return str(row.data.get("tail") or "") if row else ""


def lineage(run: Run) -> list[dict[str, Any]]:
    """What it started from, each with what to link to."""
    words = {"model": "base model", "init": "starts from", "reward": "judged by",
             "snapshot": "trained on"}  # fmt: skip
    found = []
    rows = run.inputs.exclude(name="prompts").select_related("snapshot__dataset", "source")
    for row in rows.order_by("pk"):
        mine = row.source is not None and row.source.workspace_id == run.workspace_id
        name = str(row.snapshot or "") or model_name(row.source or row.path)
        found.append(
            {
                "word": words.get(row.name, row.name),
                "name": name,
                "run": row.source if mine else None,
                "snapshot": row.snapshot,
                "sha256": row.sha256[:12],
            }
        )
    return found


def can_answer(run: Run) -> bool:
    return run.state == State.SUCCEEDED and run.recipe in ("sft", "ppo", "convert")


def page(run: Run) -> dict[str, Any]:
    """All that the run's page shows."""
    trainable = run.result.get("trainable_share")
    artifact = run.result.get("artifact") or {}
    leaves_model = run.state == State.SUCCEEDED and run.recipe != "answer"
    given = lineage(run)
    return {
        **line(run),
        "live": not run.has_ended,
        "lineage": given,
        "awaited": [row["run"] for row in given if row["run"] and not row["run"].has_ended],
        "charts": drawn(run),
        "table": table(run),
        "counted": counted(run),
        "samples": samples(run),
        "story": story(run),
        "log": log_tail(run),
        "base": next((row["name"] for row in given if row["word"] == "base model"), ""),
        "trainable": f"{100 * trainable:.2g} %" if isinstance(trainable, int | float) else "",
        "artifact": run.artifact if artifact and leaves_model else None,
        "artifact_kind": str(artifact.get("kind") or "").replace("_", " "),
        "artifact_sha256": str(artifact.get("sha256") or ""),
        "used_by": Run.objects.filter(inputs__source=run, workspace=run.workspace_id).distinct(),
        "config": sorted(run.config.items()),
        "silent": _silence(run.heartbeat) if run.state in Run.ACTIVE else "",
    }


def _silence(heartbeat: datetime | None) -> str:
    """How long nobody has watched, where that is longer than it should be."""
    if heartbeat is None or (timezone.now() - heartbeat).total_seconds() < 20:
        return ""
    return timesince(heartbeat)
