"""What a run has to say, read from its rows and made ready for a page."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.timesince import timesince

from training import charts, results, run_charts, sizes
from training.inputs import LANGUAGE, model_name
from training.models import Run, RunEvent

State = Run.State
TONES = {State.SUCCEEDED: "good", State.FAILED: "bad", State.CANCELLED: "", State.WAITING: "",
         State.QUEUED: "", State.STOPPING: "warn", State.INTERRUPTED: "warn"}  # fmt: skip
ADAPTATIONS = {"lora": "LoRA", "qlora": "QLoRA", "full": "all weights",
               "half": "a half of the blocks each round"}  # fmt: skip
# What a trainer is at before it says how far it is; the first until it says anything.
PHASES = {"": "loading the libraries", "loading": "loading the model and the rows",
          "preflight": "looking at the rows first"}  # fmt: skip
# What a model is for, once it is there.
NEXT = {
    "pretrain": "Next: SFT from it, on a dataset of answers.",
    "sft": "Next: DPO from it, on a dataset of comparisons; or PPO, on one of prompts.",
    "reward": "Next: PPO, on a dataset of prompts, with it as the judge.",
    **dict.fromkeys(
        ("dpo", "kto", "ppo"), "Next: let it answer prompts, and have people rank its answers."
    ),
}


def span(seconds: float) -> str:
    """ "6 min", "2 h 5 min", "40 s"."""
    seconds = int(seconds)
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def lines(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Runs as lists show them."""
    found = list(runs)
    before = ahead() if any(run.state == State.QUEUED for run in found) else {}
    return [_line(run, before.get(run.pk, 0)) for run in found]


def _line(run: Run, before: int) -> dict[str, Any]:
    took = (run.finished or timezone.now()) - run.started if run.started else None
    return {
        "run": run,
        "title": results.title_of(run.recipe),
        "tone": TONES.get(State(run.state), "on"),
        "share": min(100, round(100 * run.step / run.total)) if run.total else 0,  # per cent
        "left": span(run.seconds_left) if run.seconds_left is not None else "",
        "took": span(took.total_seconds()) if took else "",
        "headline": results.headline(run),
        "ahead": before,
        "phase": _phase(run),
    }


def _phase(run: Run) -> str:
    """What it is at; of one that waits for a worker nothing."""
    if run.state in (State.WAITING, State.QUEUED) or not (run.phase or run.state == State.RUNNING):
        return ""
    return PHASES.get(run.phase, run.phase)


def ahead() -> dict[int, int]:
    """How many runs, of any workspace, come before each queued one."""
    rows = Run.objects.filter(state__in=(State.QUEUED, *Run.ACTIVE)).order_by("pk")
    states = list(rows.values_list("pk", "state"))
    queued = [pk for pk, state in states if state == State.QUEUED]
    return {pk: len(states) - len(queued) + place for place, pk in enumerate(queued)}


def counted(run: Run) -> str:
    """On how many test rows the table stands."""
    split = results.part(run.result, "metrics").get("split") or "test"
    after = results.metrics_of(run)[1]
    for name in ("pairs", "rows", "prompts"):
        if isinstance(after.get(name), int):
            return f"{after[name]} {name} of the {split} split"
    return f"the {split} split"


def samples(run: Run) -> list[dict[str, str]]:
    """The same prompt before and after; while it works, what it last wrote."""
    found = run.result.get("samples")
    if isinstance(found, list) and found:
        texts, numbers = ("prompt", "before", "after", "reference"), ("reward", "reward_before")
        return [
            {key: str(row.get(key) or "") for key in texts}
            | {key: results.value_of(row[key], {}) for key in numbers if key in row}
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
            "reward": results.value_of(event.data.get("reward"), {})
            if "reward" in event.data
            else "",
        }
        for event in latest
    ]


def alarms(run: Run) -> list[RunEvent]:
    """What went wrong, each once, in the order in which it did. A crash that was got over is told
    among what happened."""
    found: dict[str, RunEvent] = {}
    rows = run.events.filter(kind="alarm", superseded=False).exclude(data__code="crash")
    for event in rows.order_by("time", "pk")[:200]:
        found.setdefault(str(event.data.get("code") or event.data.get("text")), event)
    return list(found.values())


def kept(run: Run) -> str:
    """Which weights were left, where that is not simply the last."""
    found = results.part(run.result, "kept")
    step, name, value = found.get("step"), found.get("metric"), found.get("value")
    if not name or not isinstance(step, int) or not results.is_number(value):
        return ""
    label = results.label_of(str(name).removeprefix("eval_"))
    label = label[:1].lower() + label[1:]
    return (
        f"Kept are the weights of step {step:,}, the best on the validation rows "
        f"({label} {charts.number(value)})."
    )


def remarks(run: Run) -> list[RunEvent]:
    """What its own preflight remarked, where nobody could look before its turn came."""
    return list(run.events.filter(kind="note", data__code="preflight").order_by("time", "pk")[:20])


def story(run: Run) -> list[RunEvent]:
    """Notes and alarms, newest first; without what stands above: remarks of its preflight, and what
    its result says again."""
    rows = run.events.filter(kind__in=("note", "alarm"))
    rows = rows.exclude(pk__in=rows.filter(data__code="preflight").values("pk"))
    if run.state == State.SUCCEEDED:
        rows = rows.exclude(pk__in=rows.filter(data__code__in=("kept", "ended")).values("pk"))
    return list(rows.order_by("-time", "-pk")[:30])


def log_tail(run: Run) -> str:
    row = run.events.filter(kind="log").order_by("-attempt").first()
    return str(row.data.get("tail") or "") if row else ""


def lineage(run: Run) -> list[dict[str, Any]]:
    """What it started from, each with what to link to."""
    words = {"model": "base model", "init": "starts from", "reward": "judged by",
             "snapshot": "trained on", "against": "set against"}  # fmt: skip
    if run.recipe == "evaluate":
        words |= {"init": "measures", "snapshot": "measured on"}
    found = []
    rows = run.inputs.exclude(name="prompts").select_related("snapshot__dataset", "source")
    for row in rows.order_by("pk"):
        mine = row.source is not None and row.source.workspace_id == run.workspace_id
        name = str(row.snapshot or "") or model_name(row.source or row.path)
        found.append(
            {
                "word": words.get(row.name, row.name),
                "step": row.path.rpartition("step-")[2] if row.source and row.path else "",
                "name": name,
                "run": row.source if mine else None,
                "snapshot": row.snapshot,
                "sha256": row.sha256[:12],
            }
        )
    return found


def other(given: list[dict[str, Any]]) -> str:
    """What to call the model that a measured one was set against."""
    row = next((row for row in given if row["word"] == "set against"), None)
    return (f"run {row['run'].pk}" if row["run"] else row["name"]) if row else "the other one"


def can_answer(run: Run) -> bool:
    return run.state == State.SUCCEEDED and run.recipe in ("convert", *LANGUAGE)


def leaves_model(run: Run) -> bool:
    return run.state == State.SUCCEEDED and run.recipe not in ("answer", "evaluate")


def page(run: Run) -> dict[str, Any]:
    """All that the run's page shows."""
    trainable = run.result.get("trainable_share")
    artifact = run.result.get("artifact") or {}
    given = lineage(run)
    drawn = run_charts.drawn(run)
    return {
        **lines([run])[0],
        "live": not run.has_ended,
        "lineage": given,
        "awaited": [row["run"] for row in given if row["run"] and not row["run"].has_ended],
        "charts": drawn,
        "more_charts": [each for each in drawn if not each["known"]],
        "alarms": alarms(run),
        "remarks": remarks(run),
        "kept": kept(run),
        "ended_early": str(run.result.get("reason") or "") if run.state == "succeeded" else "",
        "adaptation": ADAPTATIONS.get(str(run.config.get("adaptation") or ""), ""),
        "is_evaluation": run.recipe == "evaluate",
        "has_before": bool(results.metrics_of(run)[0]),
        "table": results.table(run),
        "baselines": results.baselines(run),
        "has_leads": "pairs" in results.metrics_of(run)[1],
        "classes": results.classes(run),
        "calibration": results.calibration(run),
        "win_rate": results.win_rate(run),
        "judged_itself": results.judged_itself(run),
        "evaluations": results.side_by_side(results.evaluations_of(run)[:12]),
        "counted": counted(run),
        "samples": samples(run),
        "story": story(run),
        "log": log_tail(run),
        "other": other(given),
        "base": next((row["name"] for row in given if row["word"] == "base model"), ""),
        "memory": sizes.grown(run.result),
        "trainable": sizes.per_cent(trainable) if results.is_number(trainable) else "",
        "artifact": run.artifact if artifact and leaves_model(run) else None,
        "artifact_kind": str(artifact.get("kind") or "").replace("_", " "),
        "artifact_sha256": str(artifact.get("sha256") or ""),
        "next": NEXT.get(run.recipe, "") if leaves_model(run) else "",
        "used_by": Run.objects.filter(inputs__source=run, workspace=run.workspace_id)
        .exclude(recipe="evaluate")
        .distinct(),
        "config": sorted(run.config.items()),
        "silent": _silence(run.heartbeat) if run.state in Run.ACTIVE else "",
    }


def _silence(heartbeat: datetime | None) -> str:
    """How long nobody has watched, where that is longer than it should be."""
    if heartbeat is None or (timezone.now() - heartbeat).total_seconds() < 20:
        return ""
    return timesince(heartbeat)
