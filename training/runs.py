"""Runs: made, cancelled, resumed, swept. With `moves.py` and `endings.py` their only writer."""

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from annotation import importing
from annotation.errors import Refused
from annotation.models import User, Workspace
from exports import snapshots, withdrawal
from exports.models import Snapshot
from training import dispatch, embedding, hosts, moves, planning, preflights
from training.engine import LOCAL, LocalEngine
from training.inputs import Chosen, Given, model_name
from training.models import Run, RunInput
from training.moves import State
from training.recipes.configs import RECIPES, parse, turned

log = logging.getLogger("training.runs")


def default_name(recipe: str, chosen: list[Chosen]) -> str:
    """ "SFT on Support v1"; "Answers" where there is no snapshot; an evaluation says of what."""
    title = RECIPES[recipe].title
    if recipe == "evaluate":
        rows = {row.name: row for row in chosen}
        top = rows.get("init") or rows["model"]
        step = top.path.rpartition("step-")[2] if top.source and top.path else ""
        title += f" of {_short(top)}" + (f", step {step}," if step else "")
    for row in chosen:
        if row.name == "snapshot":
            return f"{title} on {row.snapshot or row.path.rpartition('/')[2]}"
    return title


def _short(row: Chosen) -> str:
    if row.source is not None and row.source.recipe != "convert":
        return f"run {row.source.pk}"
    return model_name(row.source or row.path)


@transaction.atomic
def create_run(
    *,
    workspace: Workspace,
    recipe: str,
    config: dict[str, Any],
    inputs: dict[str, Given],
    user: User | None,
    name: str = "",
    operator: bool = False,
) -> Run:
    """A run, queued or, if an input is another run that has not ended, waiting.

    Takes and raises what `planning.plan` does."""
    plan = planning.plan(
        workspace=workspace, recipe=recipe, config=config, inputs=inputs, operator=operator
    )
    run = plan.run
    run.name = (name or default_name(recipe, plan.inputs))[:200]
    run.state, run.created_by = State.WAITING, user
    run.save()
    RunInput.objects.bulk_create(
        RunInput(
            run=run,
            name=row.name,
            kind=row.kind,
            snapshot=row.snapshot,
            source=row.source,
            path=str(run.directory / "prompts.jsonl") if row.project else row.path,
            sha256=row.sha256,
            project=row.project,
            limit=row.limit,
        )
        for row in plan.inputs
    )
    log.info("run created", extra={"run": run.pk, "recipe": recipe, "workspace": workspace.slug})
    _settle(run)
    return run


def _settle(run: Run) -> None:
    """Queue a waiting run that need not wait, and wake a worker."""
    if moves.settle_waiting(run) == State.QUEUED:
        dispatch.send(run.pk)


def queue_rlhf(
    *,
    workspace: Workspace,
    model: Given,
    sft: Snapshot,
    preference: Snapshot,
    prompts: Snapshot,
    user: User | None,
    configs: dict[str, dict[str, Any]] | None = None,
    preset: str = "",
) -> tuple[Run, Run, Run]:
    """The RLHF button: SFT, reward model and PPO, queued in this order; PPO waits for both.

    `configs`: recipe -> its knobs; `preset`: "quick" or none. All three or none are made."""
    config = {
        name: turned(preset_values(name, preset), (configs or {}).get(name, {}))
        for name in ("sft", "reward", "ppo")
    }
    with transaction.atomic():
        common: dict[str, Any] = {"workspace": workspace, "user": user}
        first = create_run(
            recipe="sft", config=config["sft"], inputs={"model": model, "snapshot": sft}, **common
        )
        second = create_run(
            recipe="reward",
            config=config["reward"],
            inputs={"model": model, "snapshot": preference},
            **common,
        )
        third = create_run(
            recipe="ppo",
            config=config["ppo"],
            inputs={"init": first, "reward": second, "snapshot": prompts},
            **common,
        )
    return first, second, third


def preset_values(recipe: str, preset: str) -> dict[str, Any]:
    """The knobs that a preset turns. Raises Refused for one that is not there."""
    if preset not in ("", "sensible", "quick"):
        raise Refused(f"There is no preset “{preset}”; there are sensible and quick.")
    return dict(RECIPES[recipe].quick) if preset == "quick" else {}


def get_model(*, workspace: Workspace, user: User | None = None) -> Run:
    """The run that converts the small real model, or converted it; made if there is none."""
    wanted = parse("convert", {})
    with transaction.atomic():
        Workspace.objects.select_for_update().get(pk=workspace.pk)
        ended = (State.FAILED, State.CANCELLED)
        for run in Run.objects.filter(recipe="convert").exclude(state__in=ended).order_by("pk"):
            is_there = not run.has_ended or (run.artifact / "config.json").is_file()
            if run.config.get("package") == wanted.package and is_there:
                return run
        return create_run(
            workspace=workspace,
            recipe="convert",
            config={},
            inputs={},
            user=user,
            name=f"Base model from {wanted.package}",
        )


def cancel(run: Run, *, by: str) -> Run:
    """Stop the run: at once if nothing works on it, else as soon as its trainer has stopped.

    Raises Refused if it has ended."""
    for _ in range(20):  # each turn lost to another writer means that the state has changed
        run.refresh_from_db()
        if run.has_ended:
            raise Refused(f"Run {run.pk} has ended: it {_was(run)} and cannot be cancelled.")
        if run.state == State.STOPPING:
            return run
        reason = f"Cancelled by {by}."
        if run.state in (State.PREPARING, State.RUNNING):
            if moves.move(run, State.STOPPING, reason=reason):
                LOCAL.cancel(run, "stop")  # its supervisor asks, too, where this is too early
                moves.note(run, f"{by} asked it to stop.", code="stop")
                return run
        elif _cancel_now(run, reason):
            return run
    raise Refused(f"Run {run.pk} keeps changing; try again.")


def _was(run: Run) -> str:
    return "succeeded" if run.state == State.SUCCEEDED else f"was {run.state}"


@transaction.atomic
def _cancel_now(run: Run, reason: str) -> bool:
    if not moves.move(run, State.CANCELLED, reason=reason):
        return False
    moves.settle_dependents(run)
    return True


def why_not_resumable(run: Run, engine: LocalEngine = LOCAL) -> str:
    """Why `resume` would refuse, in words; "" where it would not."""
    if run.state not in (State.FAILED, State.CANCELLED, State.INTERRUPTED):
        return f"Run {run.pk} is {run.state}: only a failed or cancelled run is resumed."
    if run.started is not None and not engine.kept(run):
        return f"Run {run.pk} left nothing to resume from: start it again instead."
    return ""


def resume(run: Run, *, by: str, engine: LocalEngine = LOCAL) -> Run:
    """Take up a failed, cancelled or interrupted run from its newest checkpoint (or, if it never
    started, from its start). Raises Refused where it cannot."""
    run.refresh_from_db()
    if why := why_not_resumable(run, engine):
        raise Refused(why)
    if any(row.awaited and row.awaited.state in (State.FAILED, State.CANCELLED)
           for row in run.inputs.select_related("source")):  # fmt: skip
        raise Refused("A run that it waits for did not succeed: resume that one first.")
    with transaction.atomic():
        waits = State.QUEUED if run.state == State.INTERRUPTED else State.WAITING
        attempt = run.attempt + (1 if run.started else 0)
        if not moves.move(run, waits, attempt=attempt, heartbeat=None):
            raise Refused(f"Run {run.pk} has changed in the meantime; look again.")
        moves.note(run, f"{by} resumed it.", code="resumed")
        if waits == State.WAITING:
            _settle(run)
        else:
            dispatch.send(run.pk)
    return run


def first_in_line(pk: int) -> int:
    """The oldest queued run where this one is queued; else itself. A run that was interrupted keeps
    its place before those that were made after it."""
    queued = Run.objects.filter(state=State.QUEUED)
    if not queued.filter(pk=pk).exists():
        return pk
    return queued.order_by("pk").values_list("pk", flat=True)[0]


def is_unwatched(run: Run) -> bool:
    """Is the supervisor of an active run gone? On this host its process says so at once; elsewhere,
    or where it hangs, its heartbeat does."""
    if run.heartbeat is None or run.heartbeat < moves.stale_since():
        return True
    return hosts.host_of(run.supervisor) == hosts.HOST and not hosts.supervisor_lives(
        run.supervisor
    )


def unwatched_here() -> list[Run]:
    """Active runs of this host whose supervisor is gone: adopted before anything else is begun."""
    active = Run.objects.filter(state__in=Run.ACTIVE).order_by("pk")
    return [run for run in active if is_unwatched(run) and _is_ours(run)]


def _is_ours(run: Run) -> bool:
    """Started from this host, or from one that has been silent for so long that it is gone."""
    lost = timezone.now() - timedelta(seconds=10 * settings.RUN_STALE_SECONDS)
    host = run.process.get("host") or hosts.host_of(run.supervisor)
    return host == hosts.HOST or run.heartbeat is None or run.heartbeat < lost


def sweep() -> dict[str, int]:
    """Find what was lost and bring it back; harmless at any time, from any number of processes.

    Unwatched runs get a new supervisor, queued runs whose message may be lost are sent again,
    waiting runs are looked at again, dead imports and freezes are cleared, old preflights are
    forgotten. Returns counts."""
    counts = {"adopted": 0, "sent": 0, "released": 0}
    for run in unwatched_here():
        dispatch.send(run.pk, expires=settings.RUN_STALE_SECONDS)
        counts["adopted"] += 1
    busy = Run.objects.filter(state__in=Run.ACTIVE).exists()
    # Behind a working run a message may rightly wait long: do not pile up copies of it.
    patience = settings.RUN_STALE_SECONDS * (20 if busy else 1)
    before = timezone.now() - timedelta(seconds=patience)
    for run in Run.objects.filter(state=State.QUEUED).order_by("pk"):
        if run.heartbeat is None or run.heartbeat < before:
            dispatch.send(run.pk)
            counts["sent"] += 1
    for run in Run.objects.filter(state=State.WAITING).order_by("pk"):
        if moves.settle_waiting(run) == State.QUEUED:
            dispatch.send(run.pk)
            counts["released"] += 1
    importing.sweep()
    snapshots.sweep()
    withdrawal.sweep()
    embedding.sweep()
    preflights.tidy()
    if any(counts.values()):
        log.info("sweep", extra=counts)
    return counts
