"""A snapshot's page and its downloads."""

import csv
import io
import json
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.urls import reverse
from django.utils import timezone

from exports import datasets, files, snapshots
from exports.downloads import safe_cell
from exports.models import Snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def lee(as_user, cast):
    return as_user(cast.lee)


@pytest.fixture
def frozen(pairs) -> Snapshot:
    return snapshots.freeze_now(dataset=pairs, user=None)


def fetch(lee, snapshot: Snapshot, form: str, **query) -> bytes:
    response = lee.get(reverse("exports:download", args=[snapshot.pk, form]), query)
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith("attachment")
    return b"".join(response.streaming_content)


def test_roles(check_roles, frozen) -> None:
    check_roles(reverse("exports:snapshot", args=[frozen.pk]), at_least="lead")
    check_roles(reverse("exports:snapshot_state", args=[frozen.pk]), at_least="lead")
    for form in ("parquet", "jsonl", "csv"):
        check_roles(reverse("exports:download", args=[frozen.pk, form]), at_least="lead")


def test_wrong_methods(lee, frozen) -> None:
    for name in ("snapshot", "snapshot_state"):
        assert lee.post(reverse(f"exports:{name}", args=[frozen.pk])).status_code == 405
    url = reverse("exports:download", args=[frozen.pk, "csv"])
    assert lee.post(url).status_code == 405


def test_the_page(lee, frozen) -> None:
    shown = lee.get(reverse("exports:snapshot", args=[frozen.pk])).content.decode()
    assert frozen.sha256 in shown and frozen.path in shown and "provenance.parquet" in shown
    assert "<td>tie</td>" in shown and "the longer answer wins in 50 %" in shown
    assert "Columns: <code>prompt</code>" in shown and "pretty_name" not in shown


def test_the_page_while_it_is_frozen(lee, sft, cast) -> None:
    snapshot = snapshots.request(dataset=sft, user=cast.lee)
    state = reverse("exports:snapshot_state", args=[snapshot.pk])
    shown = lee.get(reverse("exports:snapshot", args=[snapshot.pk])).content.decode()
    assert "Waiting for a worker" in shown and state in shown
    assert "HX-Refresh" not in lee.get(state).headers
    snapshots.freeze_queued(snapshot.pk)
    assert lee.get(state).headers["HX-Refresh"] == "true"


def test_a_freeze_whose_worker_was_killed_says_that_it_waits_for_that(lee, sft) -> None:
    snapshot = snapshots.request(dataset=sft, user=None)
    for state, seconds, said in (("freezing", 2, 0), ("freezing", 40, 1), ("queued", 40, 0)):
        last = timezone.now() - timedelta(seconds=seconds)
        Snapshot.objects.filter(pk=snapshot.pk).update(state=state, heartbeat=last)
        shown = lee.get(reverse("exports:snapshot", args=[snapshot.pk])).content.decode()
        assert len(re.findall(r"worker has not been heard of for 4\d s", shown)) == said


def test_a_failed_one_says_why_and_gives_nothing(lee, sft) -> None:
    values = {"projects": ["support-desk"], "min_length": 500}
    datasets.change(dataset=sft, name=sft.name, values=values)
    snapshot = snapshots.request(dataset=sft, user=None)
    snapshots.freeze_queued(snapshot.pk)
    shown = lee.get(reverse("exports:snapshot", args=[snapshot.pk])).content.decode()
    assert "shorter than 500 characters" in shown
    url = reverse("exports:download", args=[snapshot.pk, "jsonl"])
    assert "cannot be downloaded: it is failed" in lee.get(url, follow=True).content.decode()


def test_a_withdrawn_one_gives_nothing(lee, frozen) -> None:
    Snapshot.objects.update(state="withdrawn")
    assert b"Withdrawn" in lee.get(reverse("exports:snapshot", args=[frozen.pk])).content
    url = reverse("exports:download", args=[frozen.pk, "parquet"])
    assert "cannot be downloaded" in lee.get(url, follow=True).content.decode()


def test_files_that_are_gone(lee, frozen) -> None:
    Snapshot.objects.update(path="/nowhere/at/all")
    shown = lee.get(reverse("exports:snapshot", args=[frozen.pk])).content.decode()
    assert "Its files are gone" in shown
    url = reverse("exports:download", args=[frozen.pk, "csv"])
    assert "its files are gone" in lee.get(url, follow=True).content.decode()


@pytest.mark.parametrize(("form", "query"), [("xlsx", {}), ("csv", {"split": "../../etc"})])
def test_no_such_file(lee, frozen, form: str, query) -> None:
    url = reverse("exports:download", args=[frozen.pk, form])
    assert lee.get(url, query).status_code == 404


def test_parquet_is_the_directory(lee, frozen, tmp_path) -> None:
    archive = zipfile.ZipFile(io.BytesIO(fetch(lee, frozen, "parquet")))
    assert archive.testzip() is None
    archive.extractall(tmp_path / "out")
    digest, _ = files.hash_data(tmp_path / "out" / "support-pairs-v1")
    assert digest == frozen.sha256
    assert (tmp_path / "out" / "support-pairs-v1" / "README.md").exists()
    inside = {name.removeprefix("support-pairs-v1/") for name in archive.namelist()}
    assert {"dropped.parquet", "plots/splits.png", "plots/lengths.png"} <= inside
    home = Path(frozen.path)
    whole = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert inside == whole
    one = fetch(lee, frozen, "parquet", split="train")
    assert pq.read_table(io.BytesIO(one)).num_rows == frozen.counts["train"]


def test_jsonl(lee, frozen) -> None:
    rows = [json.loads(line) for line in fetch(lee, frozen, "jsonl").splitlines()]
    assert len(rows) == frozen.rows
    assert list(rows[0]) == ["split", "prompt", "chosen", "rejected"]
    train = [json.loads(line) for line in fetch(lee, frozen, "jsonl", split="train").splitlines()]
    assert len(train) == frozen.counts["train"] and "split" not in train[0]


def test_csv(lee, frozen) -> None:
    text = fetch(lee, frozen, "csv").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert len(rows) == frozen.rows
    assert list(rows[0]) == ["split", "system", "history", "prompt", "chosen", "rejected"]
    assert {row["split"] for row in rows} == {s for s, n in frozen.counts.items() if n}
    assert all(row["chosen"].startswith("long answer") for row in rows)


def table_of(lee, dataset) -> list[dict[str, str]]:
    snapshot = snapshots.freeze_now(dataset=dataset, user=None)
    text = fetch(lee, snapshot, "csv").decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize(
    ("kind", "rule", "columns"),
    [
        ("unpaired", {}, ["split", "system", "history", "prompt", "completion", "label"]),
        ("text", {}, ["split", "text"]),
        ("labels", {"question": "metadata.topic"}, ["split", "text", "label"]),
    ],
)
def test_csv_of_the_other_kinds(lee, desk, cast, kind: str, rule, columns) -> None:
    """A row a line, cells of several lines and formulas included."""
    for number in range(6):
        messages = [] if kind == "text" else [{"role": "user", "content": f"Ask {number}?"}]
        topic = {"topic": ["=physics", "food"][number % 2]}
        prompt = desk.prompt(f"p{number}", messages=messages, metadata=topic)
        desk.answer(prompt, f'=Line {number},\nand "more"', metadata={"label": number % 2 == 0})
    values = {"projects": ["support-desk"], "test": 0, "validation": 0} | rule
    dataset = datasets.create(
        workspace=cast.acme, name="Other", kind=kind, values=values, user=cast.lee
    )
    rows = table_of(lee, dataset)
    assert len(rows) == 6 and list(rows[0]) == columns
    assert {row["split"] for row in rows} == {"train"}
    said = '\'=Line 0,\nand "more"'
    if kind == "unpaired":
        thumbs = {row["prompt"]: (row["completion"], row["label"]) for row in rows}
        assert thumbs["Ask 0?"] == (said, "True") and thumbs["Ask 1?"][1] == "False"
    elif kind == "text":
        assert said in {row["text"] for row in rows}
    else:
        labels = {row["text"]: row["label"] for row in rows}
        assert sorted(labels.values()) == ["'=physics"] * 3 + ["food"] * 3
        asked = next(text for text in labels if "Ask 0?" in text)
        assert labels[asked] == "'=physics"


def test_csv_holds_no_formula(lee, desk, cast) -> None:
    stage = desk.stage("write")
    hostile = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "＝1", " =1", 'a "quote", and\nline']
    for number, text in enumerate(hostile):
        desk.write(stage, desk.prompt(f"={number}"), text, cast.ana)
    dataset = datasets.create(
        workspace=cast.acme,
        name="D",
        kind="sft",
        values={"projects": "support-desk", "test": 0, "validation": 0},
        user=None,
    )
    snapshot = snapshots.freeze_now(dataset=dataset, user=None)
    rows = list(csv.DictReader(io.StringIO(fetch(lee, snapshot, "csv").decode(), newline="")))
    got = {row["completion"] for row in rows}
    assert got == {f"'{text}" for text in hostile[:-1]} | {hostile[-1]}
    assert all(row["prompt"].startswith("'=") for row in rows)
    assert safe_cell(2.5) == 2.5 and safe_cell("plain - text") == "plain - text"
