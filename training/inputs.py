"""What a run may start from: snapshots, runs, folders, Hub ids; and what is staged of them.

Nothing here writes. A path cannot leave its roots, links followed: MODEL_ROOT, the operator's
MODEL_PATHS, and what a convert run left. Only the operator's shell may name a snapshot's folder.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from django.conf import settings

from annotation.errors import Refused
from annotation.models import Project, Workspace
from exports import withdrawal
from exports.models import Snapshot
from training.models import Run, RunInput
from training.recipes.configs import RECIPES

Kind = RunInput.Kind
KINDS = {"model": Kind.MODEL, "init": Kind.ADAPTER, "reward": Kind.REWARD,
         "against": Kind.MODEL, "snapshot": Kind.SNAPSHOT, "prompts": Kind.PROMPTS}  # fmt: skip
# Which recipes' runs may stand at an input. What only judges can be measured, but not built on.
LANGUAGE = ("sft", "ppo", "dpo", "kto", "pretrain")
JUDGES = ("reward", "classify")
SOURCES = {"model": ("convert", *LANGUAGE), "init": LANGUAGE, "reward": ("reward",),
           "against": ("convert", *LANGUAGE)}  # fmt: skip
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class Chosen:
    """An input that passed: a row of RunInput to be."""

    name: str
    kind: str
    snapshot: Snapshot | None = None
    source: Run | None = None
    path: str = ""
    sha256: str = ""
    project: Project | None = None
    limit: int | None = None

    @property
    def awaited(self) -> Run | None:
        """As RunInput's."""
        return None if self.path else self.source


@dataclass(frozen=True)
class Checkpoint:
    """Weights that a run passed through on its way: a folder beside its artifact."""

    run: Run
    step: int

    @property
    def path(self) -> Path:
        return self.run.directory / "checkpoints" / f"step-{self.step}"

    @property
    def is_usable(self) -> bool:
        """Can it be loaded as a model? Old ones are deleted."""
        return any((self.path / n).is_file() for n in ("adapter_config.json", "config.json"))


@dataclass(frozen=True)
class Unanswered:
    """A project's prompts that a model has not answered, at most `limit` of them."""

    project: Project
    limit: int | None = None


Given = Snapshot | Run | Checkpoint | Unanswered | Path | str


def _within(path: Path, root: Path) -> bool:
    return path == root.resolve() or root.resolve() in path.parents


def model_path(text: str) -> str:
    """A local model's folder, or a Hub id, as it may be used. Raises Refused."""
    text = text.strip()
    named = Path(settings.MODEL_ROOT) / text
    is_name = HUB_ID.fullmatch(text) is not None
    path = named if is_name and named.is_dir() else Path(text)
    if path.is_absolute() or path.is_dir():
        path = path.resolve()
        roots = [Path(settings.MODEL_ROOT), *map(Path, settings.MODEL_PATHS)]
        converted = Run.objects.filter(recipe="convert", state=Run.State.SUCCEEDED)
        roots += [run.artifact for run in converted]
        if not any(_within(path, root) for root in roots):
            raise Refused(
                f"The model {text} lies outside the folders for models. "
                f"Put it below {settings.MODEL_ROOT}, or let the operator add its folder to "
                "ANNOTUNE_MODEL_PATHS."
            )
        if not (path / "config.json").is_file():
            raise Refused(f"{text} holds no config.json: it is not a Hugging Face model folder.")
        return str(path)
    if not is_name:
        raise Refused(f"There is no model folder {text}, and it is no Hub id either.")
    if not settings.ALLOW_HUB:
        raise Refused(
            f"There is no local model {text}, and downloads from the Hub are off. "
            "The operator turns them on with ANNOTUNE_ALLOW_HUB=1."
        )
    return text


def base_models() -> list[tuple[str, Given]]:
    """Local base models, as (label, what to give as `model`): converted ones, then folders."""
    found: list[tuple[str, Given]] = []
    runs = Run.objects.filter(recipe="convert", state=Run.State.SUCCEEDED)
    for run in runs.order_by("-pk"):
        if (run.artifact / "config.json").is_file():
            found.append((f"{model_name(run)} (run {run.pk})", run))
    for root in [Path(settings.MODEL_ROOT), *map(Path, settings.MODEL_PATHS)]:
        for path in sorted([root, *root.glob("*")]) if root.is_dir() else []:
            if (path / "config.json").is_file() and any(path.glob("*.safetensors")):
                found.append((path.name, str(path.resolve())))
    return found


def model_name(given: Given) -> str:
    """What to call a base model: a folder's name, a Hub id, or what the convert run says."""
    if isinstance(given, Run):
        if given.recipe != "convert":
            return f"run {given.pk} · {given.name}"
        return str(given.result.get("name") or given.config.get("package") or given)
    text = str(given)
    return Path(text).name if text.startswith("/") else text


def is_whole(run: Run) -> bool:
    """Does the run leave full weights, which are a base model of their own? Else an adapter."""
    return run.recipe == "convert" or run.config.get("adaptation") in ("full", "half")


def base_of(run: Run) -> Given:
    """The base model beneath a run's adapter; the run itself where it leaves full weights.

    Raises Refused where it names none."""
    if is_whole(run):
        return run
    row = run.inputs.select_related("source").filter(name="model").first()
    if row is None:
        raise Refused(f"Run {run.pk} names no base model.")
    return row.source or row.path


def _folder(model: Given) -> str:
    return str(model.artifact.resolve()) if isinstance(model, Run) else model_path(str(model))


def snapshot_folder(text: str | Path) -> tuple[Snapshot | None, Path, dict[str, object]]:
    """A snapshot's folder: our row for it if there is one, its path, its snapshot.json.

    Raises Refused where it is none."""
    path = Path(text).resolve()
    names = {str(path), str(Path(text).absolute())}
    row = Snapshot.objects.select_related("dataset__workspace").filter(path__in=names).first()
    try:
        about = json.loads((path / "snapshot.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise Refused(f"{path} is no snapshot: it holds no readable snapshot.json.") from None
    return row, path, about


def check_copy(path: str | Path, sha256: str) -> None:
    """A folder that is no snapshot of ours may be a copy of one. Raises Refused where that one has
    been withdrawn: what was erased stands in both."""
    ours = Snapshot.objects.select_related("dataset__workspace").filter(sha256=sha256)
    if sha256 and any(withdrawal.check(row).state == Snapshot.State.WITHDRAWN for row in ours):
        raise Refused(f"{path} is a copy of a snapshot that has been withdrawn.")


def _snapshot(recipe: str, given: Given, workspace: Workspace, operator: bool) -> Chosen:
    """The snapshot, if the recipe can read it. Raises Refused."""
    wanted = RECIPES[recipe].dataset
    title = RECIPES[recipe].title
    if isinstance(given, str | Path):
        if not operator:
            raise Refused("A snapshot's folder can be named in the operator's shell only.")
        row, path, about = snapshot_folder(given)
        if row is None:
            sha256, kind = str(about.get("sha256", "")), about.get("kind")
            check_copy(path, sha256)
            if wanted not in ("any", kind):
                raise Refused(f"{title} reads a snapshot of kind {wanted}; {path} is of {kind}.")
            return Chosen("snapshot", Kind.SNAPSHOT, path=str(path), sha256=sha256)
        given = row
    if not isinstance(given, Snapshot) or given.workspace != workspace:
        raise Refused("There is no such snapshot in this workspace.")
    given = withdrawal.check(given)
    if given.state == Snapshot.State.WITHDRAWN:
        raise Refused(f"{given} has been withdrawn: train on its successor.")
    if given.state != Snapshot.State.READY:
        raise Refused(f"{given} is not ready ({given.state}): wait until it is frozen.")
    if wanted not in ("any", given.dataset.kind):
        raise Refused(
            f"{title} reads a snapshot of kind {wanted}; {given} is of {given.dataset.kind}."
        )
    return Chosen("snapshot", Kind.SNAPSHOT, snapshot=given, sha256=given.sha256)


def sources(recipe: str, name: str) -> tuple[str, ...]:
    """The recipes whose runs may stand at this input of this recipe."""
    judged = JUDGES if recipe == "evaluate" and name in ("model", "init") else ()
    return SOURCES.get(name, ()) + judged


def _run(recipe: str, name: str, source: Run, workspace: Workspace) -> Chosen:
    """What another run leaves, if it may stand there. Raises Refused."""
    chosen = _of(recipe, name, source, workspace)
    if source.state in (Run.State.FAILED, Run.State.CANCELLED):
        raise Refused(f"Run {source.pk} was {source.state}: there is nothing to start from.")
    return chosen


def _of(recipe: str, name: str, source: Run, workspace: Workspace) -> Chosen:
    """Another run, if one of its kind may stand there. Raises Refused."""
    if source.workspace_id != workspace.pk and source.recipe != "convert":
        raise Refused(f"There is no run {source.pk} in this workspace.")
    may = sources(recipe, name)
    if source.recipe not in may:
        allowed = " or ".join(RECIPES[key].title for key in may) or "no run"
        what = RECIPES[source.recipe].title
        raise Refused(f"“{name}” takes the model of {allowed}; run {source.pk} is {what}.")
    sha256 = str(source.result.get("artifact", {}).get("sha256", ""))
    return Chosen(name, KINDS[name], source=source, sha256=sha256)


def _checkpoint(recipe: str, name: str, given: Checkpoint, workspace: Workspace) -> Chosen:
    """A checkpoint of a run that has ended, however, if it is there. Raises Refused."""
    if recipe != "evaluate" or name not in ("model", "init"):
        raise Refused("A checkpoint can be measured, not built on.")
    chosen = _of(recipe, name, given.run, workspace)
    if not given.run.has_ended or not given.is_usable:
        raise Refused(f"Run {given.run.pk} keeps no checkpoint of step {given.step} to measure.")
    return replace(chosen, path=str(given.path), sha256="")


def _artifact(name: str, given: Path | str) -> Chosen:
    """An artifact's folder from elsewhere, within the folders for models. Raises Refused."""
    path = Path(given).resolve()
    if not (path / "annotune.json").is_file():
        raise Refused(f"{path} is no artifact of a run: it holds no annotune.json.")
    roots = [Path(settings.MODEL_ROOT), *map(Path, settings.MODEL_PATHS)]
    if not any(_within(path, root) for root in roots):
        raise Refused(f"{path} lies outside the folders for models ({settings.MODEL_ROOT}).")
    return Chosen(name, KINDS[name], path=str(path))


def choose(
    *, recipe: str, given: dict[str, Given], workspace: Workspace, operator: bool = False
) -> list[Chosen]:
    """Every input of a run to be, checked. Raises Refused with what is missing or not allowed.

    A run whose model is an adapter may be given as `model` or as `init`: it becomes `init` and its
    base the model. One that left full weights becomes the model."""
    wanted = RECIPES[recipe].inputs
    given = _sorted({name: value for name, value in given.items() if value})
    for name in given:
        if name not in wanted:
            takes = ", ".join(wanted) or "nothing"
            raise Refused(f"{RECIPES[recipe].title} takes no “{name}”; it takes {takes}.")
    if missing := [name for name, needed in wanted.items() if needed and name not in given]:
        raise Refused(f"{RECIPES[recipe].title} needs {' and '.join(missing)}.")
    chosen = []
    for name, value in given.items():
        if name == "snapshot":
            chosen.append(_snapshot(recipe, value, workspace, operator))
        elif isinstance(value, Unanswered):
            chosen.append(Chosen(name, Kind.PROMPTS, project=value.project, limit=value.limit))
        elif isinstance(value, Run):
            chosen.append(_run(recipe, name, value, workspace))
        elif isinstance(value, Checkpoint):
            chosen.append(_checkpoint(recipe, name, value, workspace))
        elif name in ("model", "against"):
            chosen.append(Chosen(name, Kind.MODEL, path=model_path(str(value))))
        elif operator and isinstance(value, str | Path):
            chosen.append(_artifact(name, value))
        else:
            raise Refused(f"“{name}” takes a run of this workspace.")
    init = run_of(given.get("init"))
    if init is not None:
        base, model = base_of(init), given["model"]
        if _folder(base) != _folder(model):
            raise Refused(
                f"Run {init.pk} was trained on {model_name(base)}, not on {model_name(model)}: "
                "start from the same base model."
            )
    return chosen


def run_of(given: Given | None) -> Run | None:
    """The run behind a model, where there is one."""
    if isinstance(given, Checkpoint):
        return given.run
    return given if isinstance(given, Run) else None


def _sorted(given: dict[str, Given]) -> dict[str, Given]:
    """Adapters at `init`, what they stand on at `model`."""
    model, init = given.get("model"), given.get("init")
    run = run_of(model)
    if run is not None and run.recipe in SOURCES["init"] + JUDGES and not is_whole(run):
        given = given | {"init": init or given["model"], "model": base_of(run)}
    elif (run := run_of(init)) is not None and run.recipe in SOURCES["init"] + JUDGES:
        if is_whole(run):
            model = given["init"]
            given = {name: value for name, value in given.items() if name != "init"}
            given["model"] = model
        else:
            given = {"model": base_of(run)} | given
    return given
