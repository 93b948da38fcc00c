"""make_dataset and freeze: what they print, and what they refuse."""

import os
import signal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation.models import Project
from exports import snapshots
from exports.management.commands import freeze
from exports.models import Dataset, Snapshot

pytestmark = pytest.mark.django_db


def run(name: str, *args: str) -> str:
    out = StringIO()
    call_command(name, *args, stdout=out)
    return out.getvalue()


def test_make_dataset(cast) -> None:
    rules = ["--rule", "min_length=20", "--rule", "answers=written,model"]
    printed = run(
        "make_dataset", "My answers", "--project", "support-desk", "--kind", "sft", *rules
    )
    assert printed == "my-answers\n"
    dataset = Dataset.objects.get()
    assert dataset.workspace == cast.acme and dataset.selection["min_length"] == 20
    assert dataset.selection["answers"] == ["written", "model"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--project", "nowhere", "--kind", "sft"], "no project “nowhere”"),
        (["--project", "support-desk", "--kind", "nonsense"], "“nonsense” is no kind"),
        (["--project", "support-desk", "--kind", "sft", "--rule", "x"], "KEY=VALUE is wanted"),
        (["--project", "support-desk", "--kind", "sft", "--rule", "pairs=all"], "no such rule"),
        (["--project", "support-desk", "--kind", "sft", "--workspace", "x"], "no workspace “x”"),
        (
            ["--project", "support-desk", "--kind", "sft", "--workspace", "other"],
            "no project support-desk here",
        ),
    ],
)
def test_make_dataset_refuses(cast, args: list[str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        run("make_dataset", "D", *args)
    assert not Dataset.objects.exists()


def test_a_short_name_in_two_workspaces_needs_the_workspace(cast) -> None:
    Project.objects.create(workspace=cast.other, name="Support desk", slug="support-desk")
    args = ["D", "--project", "support-desk", "--kind", "sft"]
    with pytest.raises(CommandError, match="add --workspace"):
        run("make_dataset", *args)
    for workspace in ("acme", "other"):
        assert run("make_dataset", *args, "--workspace", workspace) == "d\n"
    with pytest.raises(CommandError, match="add --workspace"):
        run("freeze", "d")


def test_freeze_prints_directory_and_hash(sft, tmp_path) -> None:
    path, digest = run("freeze", "support-sft").strip().split("\t")
    snapshot = Snapshot.objects.get()
    assert (path, digest) == (snapshot.path, snapshot.sha256)
    assert (Path(path) / "README.md").exists()
    out = tmp_path / "out"
    assert run("freeze", str(sft.pk), "--out", str(out)) == f"{out}\t{digest}\n"
    assert (out / "data").is_dir()


def test_freeze_refuses(sft, tmp_path) -> None:
    with pytest.raises(CommandError, match="no dataset “nothing”"):
        run("freeze", "nothing")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CommandError, match="not an empty folder"):
        run("freeze", "support-sft", "--out", str(tmp_path))
    Dataset.objects.update(selection={"projects": ["support-desk"], "min_length": 999})
    with pytest.raises(CommandError, match="no row at all"):
        run("freeze", "support-sft")


@pytest.fixture
def handlers():
    """Put back as they were."""
    names = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(name) for name in names]
    yield
    for name, handler in zip(names, before, strict=True):
        signal.signal(name, handler)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGHUP])
def test_a_freeze_that_is_stopped_leaves_no_work_folder(
    sft, tmp_path, monkeypatch, handlers, name
) -> None:
    def stopped(*_: object) -> None:
        assert list(tmp_path.glob(".v1-*")), "it has begun"
        os.kill(os.getpid(), name)

    monkeypatch.setattr(snapshots, "gather", stopped)
    freeze.stop_cleanly()
    with pytest.raises(SystemExit) as ended:
        run("freeze", "support-sft", "--out", str(tmp_path / "v1"))
    assert ended.value.code == 128 + name and not list(tmp_path.iterdir())


def test_what_a_killed_freeze_left_goes_with_the_next_one(sft, tmp_path) -> None:
    def left(name: str, age: float) -> Path:
        work = tmp_path / name
        (work / "snapshot").mkdir(parents=True)
        (work / "rows.texts").write_text("rows")
        for path in (work / "rows.texts", work / "snapshot", work):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
        return work

    killed, busy, another = left(".v1-a", 700), left(".v1-b", 60), left(".v2-a", 700)
    (tmp_path / ".v1-notes").mkdir()
    run("freeze", "support-sft", "--out", str(tmp_path / "v1"))
    assert not killed.exists()
    assert busy.exists() and another.exists() and (tmp_path / ".v1-notes").exists()
