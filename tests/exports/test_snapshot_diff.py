"""Two versions compared: rows added, removed, changed, and why; the pages and downloads of it."""

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.urls import reverse

from annotation.models import Response
from exports import comparisons, datasets, diff, diff_rows, files, formats, snapshots
from exports.models import Snapshot
from exports.splits import SPLITS

SCHEMA = formats.schema("preference", margin=True)


def write(directory: Path, rows: list[dict], dropped: list[dict] = (), keys: bool = True) -> Path:
    """A snapshot's directory. A row: split, id, responses, prompt, chosen, rejected, margin."""
    (directory / "data").mkdir(parents=True)
    lines = []
    for split in SPLITS:
        mine = sorted((row for row in rows if row["split"] == split), key=key_of)
        table = [
            {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "chosen": [{"role": "assistant", "content": row["chosen"]}],
                "rejected": [{"role": "assistant", "content": row["rejected"]}],
                "margin": row.get("margin", 1.0),
            }
            for row in mine
        ]
        pq.write_table(pa.Table.from_pylist(table, SCHEMA), directory / files.data_path(split))
        lines += [
            {
                "split": split,
                "row": place,
                "project": row.get("project", "p"),
                "external_id": row["id"],
                "responses": row["responses"],
                "key": key_of(row),
            }
            for place, row in enumerate(mine)
        ]
    provenance = pa.Table.from_pylist(lines, files.PROVENANCE)
    if not keys:
        provenance = provenance.drop_columns(["key"])
    pq.write_table(provenance, directory / "provenance.parquet")
    projects = sorted({"p", *(row.get("project", "p") for row in rows)})
    facts = {"selection": {"projects": projects}}
    (directory / "snapshot.json").write_text(json.dumps(facts), "utf-8")
    pq.write_table(
        pa.Table.from_pylist(list(dropped), files.DROPPED), directory / "dropped.parquet"
    )
    return directory


def key_of(row: dict) -> bytes:
    said = (row["id"], row["prompt"], row["chosen"], row["rejected"])
    return random.Random(repr(said)).randbytes(16)


def row(number: int, **other) -> dict:
    told = {"id": f"q{number}", "responses": [2 * number, 2 * number + 1], "split": "train"}
    texts = {
        "prompt": f"Why {number}?",
        "chosen": f"Because {number}.",
        "rejected": f"No {number}.",
    }
    return told | texts | other


def told(found: diff.Diff) -> dict[str, dict[str, int]]:
    summary = found.summary()
    return {kind: summary[kind]["why"] for kind in diff.KINDS if summary[kind]["rows"]}


def test_rows_of_a_project_that_the_other_does_not_take_from(tmp_path) -> None:
    shared = [row(n) for n in range(3)]
    old = write(tmp_path / "old", [*shared, row(5)])
    new = write(tmp_path / "new", [*shared, row(6), row(7, project="q")])
    assert told(diff.compare(old, new)) == {
        "added": {diff.NEW: 1, diff.ELSEWHERE: 1},
        "removed": {diff.GONE: 1},
    }
    assert told(diff.compare(new, old))["removed"] == {diff.GONE: 1, diff.ELSEWHERE: 1}


@pytest.mark.parametrize("keys", [True, False])
def test_every_row_is_told_once_with_its_reason(tmp_path, keys: bool) -> None:
    """`keys`: False is a version from before provenance.parquet had them."""
    lost = {"project": "p", "external_id": "q3", "responses": [7, 6], "reason": "too short"}
    came = {"project": "p", "external_id": "q20", "responses": [40, 41], "reason": "a tie"}
    old = write(tmp_path / "old", [row(n) for n in range(12)], [came], keys)
    new_rows = [row(n) for n in range(12) if n not in (3, 4)] + [row(20), row(21)]
    new_rows[0] = row(0, split="test")
    new_rows[1] = row(1, prompt="Why, 1?")
    new_rows[2] = row(2, margin=2.0)
    new_rows[3] = row(5, chosen="No 5.", rejected="Because 5.")
    new_rows[4] = row(6, rejected="Never.", split="validation")
    new = write(tmp_path / "new", new_rows, [lost])
    found = diff.compare(old, new)
    assert told(found) == {
        "added": {diff.NEW: 1, "was left out before: a tie": 1},
        "removed": {diff.GONE: 1, "too short": 1},
        "changed": {
            "moved from train to test": 1,
            "prompt": 1,
            "margin": 1,
            diff.SWAPPED: 1,
            "rejected, split": 1,
        },
    }
    assert found.same == 5
    assert found.summary()["changed"]["splits"] == {"train": 3, "validation": 1, "test": 1}


def test_nothing_differs_from_itself_and_all_from_nothing(tmp_path) -> None:
    full = write(tmp_path / "full", [row(n) for n in range(5)])
    empty = write(tmp_path / "empty", [])
    assert told(diff.compare(full, full)) == {} and diff.compare(full, full).same == 5
    assert told(diff.compare(empty, full)) == {"added": {diff.NEW: 5}}
    assert told(diff.compare(full, empty)) == {"removed": {diff.GONE: 5}}


def test_other_columns_are_refused(tmp_path) -> None:
    one = write(tmp_path / "one", [row(1)])
    two = write(tmp_path / "two", [row(1)])
    for split in SPLITS:
        table = pq.read_table(two / files.data_path(split)).drop_columns(["rejected"])
        pq.write_table(table, two / files.data_path(split))
    with pytest.raises(ValueError, match="different kinds"):
        diff.compare(one, two)


def test_random_versions_against_a_plain_count(tmp_path) -> None:
    """Several batches, all splits, against sets in memory."""
    rng = random.Random(5)
    numbers = range(12_000)
    old = [row(n, split=SPLITS[n % 3]) for n in numbers if rng.random() < 0.9]
    kept = {each["id"]: each for each in old}
    new = []
    for n in numbers:
        each = row(n, split=SPLITS[n % 3])
        if rng.random() < 0.2:
            each["prompt"] += " Really?"
        if rng.random() < 0.9:
            new.append(each)
    now = {each["id"]: each for each in new}
    found = diff.compare(write(tmp_path / "a", old), write(tmp_path / "b", new))
    summary = found.summary()
    both = kept.keys() & now.keys()
    changed = {name for name in both if kept[name] != now[name]}
    assert summary["added"]["rows"] == len(now.keys() - kept.keys())
    assert summary["removed"]["rows"] == len(kept.keys() - now.keys())
    assert summary["changed"]["why"] == {"prompt": len(changed)}
    lines = [json.loads(line) for line in diff_rows.lines(tmp_path / "a", tmp_path / "b", found)]
    assert len(lines) == len(found.kind)
    for line in lines:
        name = line["external_id"]
        for side, rows in (("old", kept), ("new", now)):
            if side in line:
                assert line[side]["prompt"][0]["content"] == rows[name]["prompt"]
                assert line[side]["split"] == rows[name]["split"]
        assert (
            set(line)
            >= {"added": {"new"}, "removed": {"old"}, "changed": {"old", "new"}}[line["change"]]
        )
    mine = np.flatnonzero(found.kind == diff.KINDS.index("changed"))[:3]
    shown = diff_rows.samples(tmp_path / "a", tmp_path / "b", found, "changed", "", 3)
    assert len(shown) == len(mine) == 3
    assert all(("ins", " Really?") in dict(each["texts"])["prompt"] for each in shown)


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


@pytest.fixture
def two(pairs, desk, cast, db) -> tuple[Snapshot, Snapshot]:
    """Version 1, and a version 2 with a pair less, a pair more and a rule more."""
    first = snapshots.freeze_now(dataset=pairs, user=None)
    Response.objects.filter(text="b 7").update(text="long answer 7, and more")
    prompt = desk.prompt("New <b>here</b>?")
    answers = desk.answer(prompt, "Yes, since today."), desk.answer(prompt, "No.")
    desk.rank(desk.stage("rank"), prompt, [[each] for each in answers], cast.ana)
    values = {**pairs.selection, "max_length": 5_000}
    datasets.change(dataset=pairs, name=pairs.name, values=values)
    return first, snapshots.freeze_now(dataset=pairs, user=None)


def test_the_page_of_two_versions(lee, two) -> None:
    old, new = two
    shown = lee.get(reverse("exports:compare", args=[new.pk, old.pk])).content.decode()
    assert "both answers are the same" in shown and diff.NEW in shown
    assert "Longest, in characters" in shown and "5,000" in shown
    assert "New &lt;b&gt;here&lt;/b&gt;?" in shown and "<b>here</b>" not in shown
    query = {"kind": "removed", "why": "both answers are the same"}
    more = lee.get(reverse("exports:compare", args=[new.pk, old.pk]), query).content.decode()
    assert "Choice 7?" in more and 'id="added"' not in more
    url = reverse("exports:compare_choose", args=[new.pk])
    there = reverse("exports:compare", args=[new.pk, old.pk])
    assert lee.get(url, {"with": old.pk}).headers["Location"] == there
    assert "Choose the version" in lee.get(url, {"with": "x"}, follow=True).content.decode()
    assert there in lee.get(reverse("exports:versions", args=[new.dataset_id])).content.decode()


def test_versions_of_two_datasets_are_told_apart(lee, two, cast, pairs) -> None:
    values = {**pairs.selection, "max_length": 900}
    other = datasets.create(
        workspace=cast.acme, name="Short pairs", kind="preference", values=values, user=None
    )
    mine = snapshots.freeze_now(dataset=other, user=None)
    url = reverse("exports:compare", args=[mine.pk, two[0].pk])
    shown = lee.get(url).content.decode()
    assert "<th>Support pairs v1</th><th>Short pairs v1</th>" in shown


def test_the_rows_of_it_and_the_api(lee, two) -> None:
    old, new = two
    response = lee.get(reverse("exports:compare_rows", args=[new.pk, old.pk]))
    lines = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert {line["change"] for line in lines} == {"added", "removed"}
    told = lee.get(reverse("api-compare", args=[new.pk, old.pk])).json()
    assert told["state"] == "done" and told["summary"]["added"]["rows"] == 1
    assert [rule["title"] for rule in told["rules"]] == ["Longest, in characters"]
    assert told["rows"] == reverse("exports:compare_rows", args=[new.pk, old.pk])


def test_what_cannot_be_compared(lee, two, sft) -> None:
    old, new = two

    def said(one: Snapshot, other: Snapshot) -> str:
        url = reverse("exports:compare", args=[one.pk, other.pk])
        return lee.get(url, follow=True).content.decode()

    assert "are the same: choose two" in said(new, new)
    other = snapshots.freeze_now(dataset=sft, user=None)
    assert "different kinds" in said(new, other)
    Snapshot.objects.filter(pk=old.pk).update(state="withdrawn")
    assert "is withdrawn" in said(new, old)
    rows = reverse("exports:compare_rows", args=[new.pk, old.pk])
    assert "is withdrawn" in lee.get(rows, follow=True).content.decode()
    assert lee.get(reverse("api-compare", args=[new.pk, old.pk])).status_code == 400


def test_large_ones_are_compared_by_a_worker(lee, two, monkeypatch) -> None:
    old, new = two
    monkeypatch.setattr(comparisons, "AT_ONCE", 10)
    url = reverse("exports:compare", args=[new.pk, old.pk])
    assert "Comparing" in lee.get(url).content.decode()
    assert lee.get(reverse("api-compare", args=[new.pk, old.pk])).status_code == 202
    comparisons.compare_asked(new.pk)
    assert "both answers are the same" in lee.get(url).content.decode()
    kept = b"".join(p.read_bytes() for p in comparisons._home(old, new).iterdir())
    assert b"since today" not in kept, "what is kept holds no text"


def test_two_that_make_it_at_once_do_not_meet(two, monkeypatch) -> None:
    """Two threads of one process: the second ends while the first writes."""
    old, new = two
    savez = np.savez

    def slow(*args, **rest) -> None:
        savez(*args, **rest)
        monkeypatch.setattr(np, "savez", savez)
        comparisons._make(old, new)

    monkeypatch.setattr(np, "savez", slow)
    assert comparisons.of(old, new).diff is not None
    assert [path.name for path in comparisons._home(old, new).glob("*.npz")] == ["rows.npz"]


def test_a_comparison_that_breaks_says_why(lee, two) -> None:
    old, new = two
    (Path(old.path) / "provenance.parquet").write_bytes(b"no such thing")
    shown = lee.get(reverse("exports:compare", args=[new.pk, old.pk])).content.decode()
    assert "could not be compared" in shown


def test_on_a_full_disk_it_is_made_each_time(lee, two, monkeypatch) -> None:
    old, new = two

    def full(path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    url = reverse("exports:compare", args=[new.pk, old.pk])
    assert "both answers are the same" in lee.get(url).content.decode()
    assert not list(comparisons._home(old, new).glob("*.npz")), "nothing half is kept"
    monkeypatch.setattr(comparisons, "AT_ONCE", 10)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: full(comparisons._home(old, new) / "x"))
    (comparisons._home(old, new) / "asked").unlink(missing_ok=True)
    assert "Nothing can be kept of a comparison" in lee.get(url).content.decode()


@pytest.mark.parametrize("silent", [False, True])
def test_a_large_one_on_a_full_disk_ends_with_words(lee, two, monkeypatch, silent) -> None:
    """Also where the words do not fit on it."""
    old, new = two

    def full(path, *_: object, **__: object) -> None:
        path.write_bytes(b"")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(comparisons, "AT_ONCE", 10)
    url = reverse("exports:compare", args=[new.pk, old.pk])
    assert "Comparing" in lee.get(url).content.decode()
    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", full)
        if silent:
            patched.setattr(Path, "write_text", lambda *_: full(comparisons._home(old, new) / "x"))
        comparisons.compare_asked(new.pk)
    assert "could not be written" in lee.get(url).content.decode()
    monkeypatch.setattr(comparisons, "AGAIN", -1)
    assert "Comparing" in lee.get(url).content.decode(), "there may be room by now"
    comparisons.compare_asked(new.pk)
    assert "both answers are the same" in lee.get(url).content.decode()
