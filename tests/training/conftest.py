"""A base model, a ready snapshot of each kind, runs, and an engine with a trainer without torch."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from exports.models import Dataset, Snapshot
from training import dispatch, preflights, runs
from training.engine import LocalEngine
from training.models import Run


@pytest.fixture
def sent(monkeypatch) -> list[int]:
    """The runs that a worker was asked to supervise."""
    asked: list[int] = []
    monkeypatch.setattr(dispatch, "send", lambda pk, *, expires=None: asked.append(pk))
    return asked


@pytest.fixture(autouse=True)
def worker(monkeypatch) -> list[Callable[[int], None]]:
    """Who does a preflight as soon as it is asked for; `clear()`: nobody."""
    workers: list[Callable[[int], None]] = [lambda pk: preflights.compute(pk)]
    monkeypatch.setattr(dispatch, "look", lambda pk: [work(pk) for work in workers])
    return workers


@pytest.fixture
def base(settings) -> Path:
    """A model's folder below MODEL_ROOT, the only one whatever the environment says."""
    settings.MODEL_PATHS, settings.ALLOW_HUB = [], False
    path = Path(settings.MODEL_ROOT) / "tiny"
    path.mkdir(parents=True)
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").touch()
    return path


@pytest.fixture
def freeze(cast, tmp_path: Path) -> Callable[..., Snapshot]:
    """`freeze("sft")`: a ready snapshot of the kind, with a folder."""

    def make(kind: str, workspace=None, name: str = "") -> Snapshot:
        workspace = workspace or cast.acme
        name = name or f"Support {kind}"
        dataset, _ = Dataset.objects.get_or_create(
            workspace=workspace, slug=name.lower().replace(" ", "-"), name=name, kind=kind
        )
        number = dataset.snapshots.count() + 1
        path = tmp_path / "snapshots" / workspace.slug / dataset.slug / f"v{number}"
        path.mkdir(parents=True)
        (path / "snapshot.json").write_text(f'{{"kind": "{kind}", "sha256": "{number:064d}"}}')
        return Snapshot.objects.create(
            dataset=dataset,
            number=number,
            state=Snapshot.State.READY,
            selection={},
            path=str(path),
            sha256=f"{number:064d}",
            counts={"train": 8, "validation": 1, "test": 4},
        )

    return make


@pytest.fixture
def make_run(cast, base, freeze, sent) -> Callable[..., Run]:
    """`make_run(state="running")`: an SFT run of Acme; columns as given."""
    snapshots: dict[str, Snapshot] = {}

    def make(recipe: str = "sft", inputs=None, config=None, **columns) -> Run:
        if inputs is None:
            kind = {"sft": "sft", "reward": "preference"}[recipe]
            snapshot = snapshots.get(kind) or snapshots.setdefault(kind, freeze(kind))
            inputs = {"model": "tiny", "snapshot": snapshot}
        run = runs.create_run(
            workspace=cast.acme, recipe=recipe, config=config or {}, inputs=inputs, user=cast.lee
        )
        if columns:
            Run.objects.filter(pk=run.pk).update(**columns)
            run.refresh_from_db()
        return run

    return make


class Scripted(LocalEngine):
    """A local engine whose trainer is fake_recipe.py, and which acts between two looks."""

    def __init__(self, mode: str) -> None:
        words = [sys.executable, "-m", "tests.training.fake_recipe", mode]
        super().__init__(lambda run: [*words, str(run.directory)])
        self.when: list[tuple[Callable[[], object], Callable[[], object]]] = []

    def once(self, true: Callable[[], object], act: Callable[[], object]) -> "Scripted":
        """When `true()`, do `act()`, in the supervisor's own thread between two looks."""
        self.when.append((true, act))
        return self

    def status(self, process):
        for entry in list(self.when):
            if entry[0]():
                self.when.remove(entry)
                entry[1]()
        return super().status(process)


@pytest.fixture
def engine() -> Iterator[Callable[[str], Scripted]]:
    """`engine("slow")`: a local engine whose trainer is tests/training/fake_recipe.py."""
    made: list[Scripted] = []

    def make(mode: str) -> Scripted:
        made.append(Scripted(mode))
        return made[-1]

    yield make
    for one in made:
        for child in one._children.values():
            child.kill()
            child.wait()


def wait_for(true: Callable[[], object], seconds: float = 30) -> None:
    """Until it is; fails after a time that only a broken program needs."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
