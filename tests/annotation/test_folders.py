"""A dataset directory: which files make which split, and all of them as one import."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from datasets import Dataset, DatasetDict
from django.core.management import CommandError, call_command
from django.urls import reverse
from pyarrow import parquet

from annotation import fetching, folders, importing
from annotation.dataset_cards import licence_of
from annotation.errors import Refused
from annotation.folders import plan
from annotation.models import Import, Prompt

CARD = """---
license: [mit, other]
configs:
- config_name: en
  data_files:
    train: ["en/*.jsonl"]
    test: en/held/**
- config_name: de
  data_dir: de
---
"""


def rows(*texts: str) -> list[dict[str, str]]:
    return [{"instruction": f"Say {text}.", "response": text} for text in texts]


def lines(path: Path, found: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in found), "utf-8")


def parts(names: list[str], card: str = "", **which: str) -> list[tuple[str, str]]:
    there = [*names, *(["README.md"] if card else [])]
    return [(p.split, p.name) for p in plan(there, lambda _: card, **which).parts]


def splits() -> dict[str, str]:
    return {p.messages[0]["content"]: p.metadata.get("split", "") for p in Prompt.objects.all()}


def test_files_without_a_card_are_told_by_their_names() -> None:
    assert parts(["data/test-00000-of-00001.parquet", "data/train_sft-00000-of-00001.parquet"]) == [
        ("test", "data/test-00000-of-00001.parquet"),
        ("train_sft", "data/train_sft-00000-of-00001.parquet"),
    ]
    assert parts(["dev.jsonl", "eval/a.json", "my-training.jsonl.gz", "LICENSE"]) == [
        ("train", "my-training.jsonl.gz"),
        ("validation", "dev.jsonl"),
        ("test", "eval/a.json"),
    ]
    assert parts(["contest.csv"]) == [("train", "contest.csv")]


def test_of_several_kinds_the_most_frequent_is_read() -> None:
    names = ["a.parquet", "b.parquet", "all.csv", "dataset_info.json"]
    assert [name for _, name in parts(names)] == ["a.parquet", "b.parquet"]


def test_the_card_names_configs_and_splits() -> None:
    names = ["de/train.csv", "en/1.jsonl", "en/2.jsonl", "en/held/x/3.jsonl", "en/held/4.jsonl"]
    assert parts(names, CARD, config="en") == [
        ("train", "en/1.jsonl"),
        ("train", "en/2.jsonl"),
        ("test", "en/held/x/3.jsonl"),
        ("test", "en/held/4.jsonl"),
    ]
    assert parts(names, CARD, config="en", split="test")[0] == ("test", "en/held/x/3.jsonl")
    assert parts(names, CARD, config="de") == [("train", "de/train.csv")]
    for which, why in (
        ({}, "several configs, name one: “en”, “de”"),
        ({"config": "fr"}, "no config “fr”; there are: “en”, “de”"),
        ({"config": "en", "split": "dev"}, "no split “dev”; there are: “train”, “test”"),
    ):
        with pytest.raises(Refused, match=why):
            parts(names, CARD, **which)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ("../other.jsonl", "is no file below the directory"),
        ("/etc/passwd", "is no file below the directory"),
        ("https://example.org/a.jsonl", "names data elsewhere"),
        ("gone-*.jsonl", "no file is there by that name"),
        ([{"split": "a b", "path": "a.jsonl"}], "names a split"),
        ([{"split": "train"}], "a form that is not known"),
    ],
)
def test_what_a_card_may_not_name(files: Any, why: str) -> None:
    card = f"---\n{json.dumps({'configs': [{'config_name': 'x', 'data_files': files}]})}\n---\n"
    with pytest.raises(Refused, match=why):
        parts(["a.jsonl"], card)


def test_a_card_that_is_no_yaml_is_refused_and_one_without_front_matter_says_nothing() -> None:
    with pytest.raises(Refused, match="is no YAML"):
        parts(["a.jsonl"], "---\nlicense: [\n---\n")
    assert parts(["a.jsonl"], "# A title\n---\nrule\n---\n") == [("train", "a.jsonl")]
    assert licence_of({"license": "other", "license_name": "our own"}) == "our own"
    assert licence_of({"license": ["mit", "cc-by-4.0"]}) == "mit, cc-by-4.0"
    assert licence_of({}) == ""


@pytest.mark.parametrize(
    "last", ["license: *x29", "configs: [{config_name: *x29, data_files: a.csv}]"]
)
def test_a_card_whose_references_explode_is_refused(last: str) -> None:
    """Thirty lines that stand for 2**29 values."""
    doubled = [f"x{n}: &x{n} [*x{n - 1}, *x{n - 1}]" for n in range(1, 30)]
    card = "\n".join(["---", "x0: &x0 [a]", *doubled, last, "---", ""])
    with pytest.raises(Refused, match="refers to itself too often"):
        parts(["a.csv"], card)


def test_a_card_may_name_many_files_but_not_many_patterns() -> None:
    def card(names: list[str]) -> str:
        return f"---\n{json.dumps({'configs': [{'data_files': names}]})}\n---\n"

    names = [f"{n}.csv" for n in range(300)]
    assert len(parts(names, card(names))) == 300
    with pytest.raises(Refused, match="more than 200 patterns"):
        parts(names, card(["*.csv"] * 300))


def test_a_directory_comes_in_as_one_import_with_its_splits(cast, tmp_path) -> None:
    (tmp_path / "README.md").write_text(CARD, "utf-8")
    lines(tmp_path / "en/1.jsonl", rows("a"))
    lines(tmp_path / "en/held/2.jsonl", [*rows("b"), {"instruction": ""}])
    lines(tmp_path / "en/held/3.jsonl", [{**rows("c")[0], "split": "its own"}])
    row = fetching.directory(
        project=cast.project, user=None, root=tmp_path, config="en", skip_bad=True
    )
    assert row.licence == "mit, other"
    report = importing.run_now(row)
    assert (report["rows"], report["imported"]) == (4, 3)
    assert report["refused"] == [{"line": 3, "reason": "the prompt is empty"}]
    assert {"line": None, "note": "rows 2 to 3: en/held/2.jsonl"} in report["notes"]
    assert splits() == {"Say a.": "train", "Say b.": "test", "Say c.": "its own"}


@pytest.mark.parametrize("several", [True, False])
def test_what_save_to_disk_leaves(cast, tmp_path, several: bool) -> None:
    one = Dataset.from_list(rows("a", "b"))
    there = DatasetDict({"train": one, "dev": Dataset.from_list(rows("c"))}) if several else one
    there.save_to_disk(str(tmp_path / "saved"))
    row = fetching.directory(project=cast.project, user=None, root=tmp_path / "saved")
    assert importing.run_now(row)["imported"] == (3 if several else 2)
    assert splits().get("Say c.") == ("dev" if several else None)


def test_a_saved_dataset_that_is_not_whole_is_refused(cast, tmp_path) -> None:
    saved = tmp_path / "saved"
    Dataset.from_list(rows("a")).save_to_disk(str(saved))
    [data] = saved.glob("*.arrow")
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(Refused, match="not whole or not readable"):
        fetching.directory(project=cast.project, user=None, root=saved)
    data.unlink()
    with pytest.raises(Refused, match="is missing"):
        fetching.directory(project=cast.project, user=None, root=saved)
    assert not Import.objects.exists()


def test_nothing_outside_is_read(cast, tmp_path) -> None:
    lines(tmp_path / "secret.jsonl", rows("secret"))
    home = tmp_path / "home"
    lines(home / "train.jsonl", rows("a"))
    (home / "test.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(Refused, match="leads out of the directory"):
        fetching.directory(project=cast.project, user=None, root=home)
    (home / "test.jsonl").unlink()
    row = fetching.directory(project=cast.project, user=None, root=home)
    (home / "train.jsonl").unlink()
    (home / "train.jsonl").symlink_to(tmp_path / "secret.jsonl")
    importing.run_now(row)
    assert row.state == Import.State.FAILED and not Prompt.objects.exists()


def test_limits_hold_over_all_files_together(cast, tmp_path, settings) -> None:
    table = pyarrow.Table.from_pylist(rows("a", "b"))
    for name in ("train", "test"):
        parquet.write_table(table, tmp_path / f"{name}.parquet")
    settings.IMPORT_MAX_ROWS = 3
    with pytest.raises(Refused, match=r"more than 3 rows \(IMPORT_MAX_ROWS\)"):
        fetching.directory(project=cast.project, user=None, root=tmp_path)
    settings.IMPORT_MAX_BYTES = 100
    with pytest.raises(Refused, match="IMPORT_MAX_BYTES"):
        fetching.directory(project=cast.project, user=None, root=tmp_path)


def test_too_deep_and_too_many(tmp_path, monkeypatch) -> None:
    lines(tmp_path / "/".join("abcdefghijk") / "x.jsonl", rows("a"))
    with pytest.raises(Refused, match="folders deep"):
        folders.listing(tmp_path)
    monkeypatch.setattr(folders, "MAX_FILES", 1)
    lines(tmp_path / "a" / "x.jsonl", rows("a"))
    lines(tmp_path / "a" / "y.jsonl", rows("a"))
    with pytest.raises(Refused, match="more than 1 files"):
        folders.listing(tmp_path / "a")


def test_the_command_takes_a_directory(cast, tmp_path) -> None:
    lines(tmp_path / "train.jsonl", rows("a"))
    lines(tmp_path / "test.jsonl", rows("b"))
    out = StringIO()
    call_command("import_prompts", "support-desk", str(tmp_path), "--split=test", stdout=out)
    assert "1 rows: 1 imported" in out.getvalue() and splits() == {"Say b.": "test"}
    (tmp_path / "none").mkdir()
    with pytest.raises(CommandError, match="No data files are there"):
        call_command("import_prompts", "support-desk", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="for a directory or for the Hub"):
        call_command("import_prompts", "support-desk", str(tmp_path / "test.jsonl"), "--split=test")


def test_the_page_reads_below_the_operators_roots_only(as_user, cast, tmp_path, settings) -> None:
    lee, url = as_user(cast.lee), reverse("annotation:imports", args=[cast.project.pk])
    assert "ANNOTUNE_IMPORT_ROOTS" in lee.get(url).content.decode()
    lee.post(url, {"way": "folder", "folder": str(tmp_path)})
    assert not Import.objects.exists()
    root = tmp_path / "root"
    lines(root / "faq" / "train.jsonl", rows("a"))
    lines(tmp_path / "outside" / "train.jsonl", rows("b"))
    (root / "link").symlink_to(tmp_path / "outside")
    settings.IMPORT_ROOTS = [root]
    assert f'value="{root}/faq"' in lee.get(url).content.decode()
    for folder in (str(tmp_path / "outside"), "../outside", "link", "gone", "faq/../.."):
        body = lee.post(url, {"way": "folder", "folder": folder}).content.decode()
        assert "There is no such directory below" in body, folder
    assert not Import.objects.exists()
    response = lee.post(url, {"way": "folder", "folder": "faq"}, follow=True)
    assert (
        "Import 1 row" in response.content.decode() and "split: train" in response.content.decode()
    )
