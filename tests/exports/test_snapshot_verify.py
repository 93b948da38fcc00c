"""`manage.py verify`: whole files and the same data, damaged files, data that have moved on."""

import json
import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command

from annotation.models import Response
from exports import files, manifest, snapshots
from exports.models import Snapshot
from exports.verifying import check_files

pytestmark = pytest.mark.django_db


@pytest.fixture
def frozen(pairs) -> Snapshot:
    return snapshots.freeze_now(dataset=pairs, user=None)


def verify(*args: str) -> tuple[int, str]:
    """The exit code, and all that was printed."""
    out = StringIO()
    try:
        call_command("verify", *args, stdout=out, stderr=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.mark.parametrize("named", ["{0.pk}", "support-pairs v1", "support-pairs 1", "{0.path}"])
def test_the_same_files_from_the_same_data(frozen, named: str) -> None:
    code, said = verify(*named.format(frozen).split(" "))
    assert code == 0, said
    assert "as they were frozen" in said and f"the same, sha256 {frozen.sha256}" in said


def test_all_kinds_of_rules_come_out_the_same(sft, pairs) -> None:
    for dataset in (sft, pairs):
        snapshot = snapshots.freeze_now(dataset=dataset, user=None)
        assert verify(str(snapshot.pk))[0] == 0


def test_data_that_have_moved_on_are_told_apart_from_damage(frozen, desk, cast) -> None:
    gone = Response.objects.filter(text="b 7")
    gone.update(text="long answer 7, and more")  # now both answers of a pair are the same
    code, said = verify(str(frozen.pk))
    assert code == 2
    assert "moved on" in said and "1 removed" in said and "1: both answers are the same" in said
    prompt = desk.prompt("New here?")
    a, b = desk.answer(prompt, "Yes, since today."), desk.answer(prompt, "No.")
    desk.rank(desk.stage("rank"), prompt, [[a], [b]], cast.ana)
    code, said = verify(str(frozen.pk))
    assert (
        code == 2 and "1 added" in said and "was not there, or the rules made no row of it" in said
    )


def test_rules_that_no_longer_fit_are_no_damage(frozen, cast) -> None:
    cast.project.slug = "renamed"
    cast.project.save()
    code, said = verify(str(frozen.pk))
    assert code == 2 and "no longer fit" in said


def rewrite(path: Path, change) -> None:
    pq.write_table(change(pq.read_table(path)), path)


def renamed(directory: Path) -> None:
    """The hashes as if the files had been frozen so."""
    facts = json.loads((directory / "snapshot.json").read_text("utf-8"))
    facts["sha256"], facts["files"] = files.hash_data(directory)
    facts["beside"] = {name: files.hash_file(directory / name) for name in facts["beside"]}
    (directory / "snapshot.json").write_text(json.dumps(facts), "utf-8")
    manifest.write(directory, {})


def test_damage_is_named(frozen, tmp_path) -> None:
    home = Path(frozen.path)
    train = files.data_path("train")

    def after(act) -> str:
        copy = tmp_path / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy)
        act(copy)
        return " ".join(check_files(copy, frozen.sha256))

    assert after(lambda copy: None) == ""
    flipped = lambda copy: (copy / train).write_bytes((home / train).read_bytes()[:-1] + b"x")  # noqa: E731
    assert f"{train} has changed" in after(flipped)
    for name in ("provenance.parquet", "dropped.parquet"):
        swapped = after(lambda copy, name=name: rewrite(copy / name, lambda rows: rows.slice(1)))
        assert f"{name} has changed" in swapped
    assert f"{train} is missing" in after(lambda copy: (copy / train).unlink())
    assert "was not frozen with it" in after(lambda copy: (copy / "data/more.parquet").touch())
    assert "cannot be read" in after(lambda copy: (copy / "snapshot.json").write_text("{"))

    def resealed(act) -> str:
        def both(copy: Path) -> None:
            act(copy)
            renamed(copy)

        return after(both)

    shorter = resealed(lambda copy: rewrite(copy / train, lambda table: table.slice(1)))
    assert "the snapshot's row" in shorter, "the row still knows the first hash"
    turned = lambda copy: rewrite(  # noqa: E731
        copy / "provenance.parquet", lambda table: table.take(list(range(table.num_rows))[::-1])
    )

    def older(copy: Path) -> None:
        """Before these two were hashed as well."""
        turned(copy)
        facts = json.loads((copy / "snapshot.json").read_text("utf-8"))
        del facts["beside"]
        (copy / "snapshot.json").write_text(json.dumps(facts), "utf-8")
        (copy / manifest.NAME).unlink()

    assert "is due" in after(older)
    unsealed = tmp_path / "copy"
    shutil.rmtree(unsealed)
    shutil.copytree(home, unsealed)
    rewrite(unsealed / train, lambda table: table.slice(1))
    renamed(unsealed)
    assert f"train has {frozen.counts['train'] - 1} rows, not" in " ".join(check_files(unsealed))


@pytest.fixture
def sealed(frozen) -> Snapshot:
    """With a manifest, as a freeze leaves it."""
    facts = json.loads((Path(frozen.path) / "snapshot.json").read_text("utf-8"))
    said = manifest.write(Path(frozen.path), facts["files"] | facts["beside"])
    frozen.stats["manifest"] = said
    frozen.save()
    return frozen


def test_the_manifest_is_what_sha256sum_prints(sealed) -> None:
    done = subprocess.run(
        ["sha256sum", "-c", "--strict", manifest.NAME],
        cwd=sealed.path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert done.returncode == 0
    named = {line.partition(":")[0] for line in done.stdout.splitlines()}
    there = {p.relative_to(sealed.path).as_posix() for p in Path(sealed.path).rglob("*.*")}
    assert named == there - {manifest.NAME} and "plots/lengths.png" in named
    code, said = verify(str(sealed.pk), "--files")
    assert code == 0 and manifest.NONE not in said


@pytest.mark.parametrize("name", ["README.md", "plots/lengths.png", "snapshot.json"])
def test_damage_beside_the_data_is_named(sealed, name: str) -> None:
    path = Path(sealed.path) / name
    whole = path.read_bytes()
    path.write_bytes(whole + b" ")
    code, said = verify(str(sealed.pk), "--files")
    assert code == 1 and f"{name} has changed" in said
    home = Path(sealed.path)
    manifest.write(home, {})
    code, said = verify(str(sealed.pk), "--files")
    assert code == 1 and "manifest.sha256 has changed" in said, "its own hash is in the row"
    assert check_files(home) == [], "of a copy nobody knows"
    path.unlink()
    if name != "snapshot.json":
        assert f"{name} is missing" in " ".join(check_files(home))
    (home / manifest.NAME).write_text("what\n")
    if name != "snapshot.json":
        said = " ".join(check_files(home))
        assert "no sha256 and path" in said and "does not name data/train" in said
        (home / manifest.NAME).unlink()
        assert "manifest.sha256 is missing" in verify(str(sealed.pk), "--files")[1]


def test_an_old_snapshot_says_that_it_has_no_manifest(frozen) -> None:
    (Path(frozen.path) / manifest.NAME).unlink(missing_ok=True)
    frozen.stats.pop("manifest", None)
    frozen.save()
    code, said = verify(str(frozen.pk), "--files")
    assert code == 0 and manifest.NONE in said


def test_a_conversation_in_two_splits_is_found(frozen, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(frozen.path, copy)
    train = pq.read_table(copy / files.data_path("train"))
    held = next(split for split in ("test", "validation") if frozen.counts[split])
    count = frozen.counts[held]
    rewrite(copy / files.data_path(held), lambda table: train.slice(0, count))
    renamed(copy)
    assert "in more than one split" in " ".join(check_files(copy))


def test_the_command_ends_with_1_for_damage(frozen) -> None:
    path = Path(frozen.path) / files.data_path("test")
    path.write_bytes(path.read_bytes() + b" ")
    code, said = verify(str(frozen.pk))
    assert code == 1 and "has changed" in said
    shutil.rmtree(frozen.path)
    code, said = verify(str(frozen.pk))
    assert code == 1 and "files are gone" in said


def test_a_directory_that_no_row_knows_is_checked_by_itself(frozen, tmp_path) -> None:
    shutil.copytree(frozen.path, tmp_path / "copy")
    code, said = verify(str(tmp_path / "copy"))
    assert code == 0 and "not made anew" in said


@pytest.mark.parametrize(
    ("named", "words"),
    [("99999", "no snapshot “99999”"), ("support-pairs v9", "no snapshot"), ("what", "no number")],
)
def test_what_is_not_there(frozen, named: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("verify", *named.split(" "))
