"""The card: figures of the rows, licences of the imports, plots beside it."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from django.urls import reverse

from annotation.models import Import, Prompt, Ranking, Response, Submission
from exports import card, datasets, files, origins, plots, previews, snapshots, verifying
from exports.models import Snapshot

pytestmark = pytest.mark.django_db


def freeze(dataset) -> Snapshot:
    return snapshots.freeze_now(dataset=dataset, user=None)


def text_of(snapshot: Snapshot) -> str:
    return (Path(snapshot.path) / "README.md").read_text("utf-8")


def front(text: str) -> dict:
    return yaml.safe_load(text.split("---\n")[1])


def an_import(cast, licence: str, homepage: str = "") -> Import:
    return Import.objects.create(
        project=cast.project, state="done", licence=licence, homepage=homepage
    )


def test_who_did_the_work_and_when(sft, cast) -> None:
    turns = Submission.objects.order_by("pk")
    turns.update(submitted=datetime(2026, 3, 4, 12, tzinfo=UTC))
    last = turns.last()
    Submission.objects.filter(pk=last.pk).update(submitted=datetime(2026, 5, 6, tzinfo=UTC))
    told = text_of(freeze(sft))
    assert "1 annotator, from 2026-03-04 to 2026-05-06" in told and "100 % of the rows" in told
    assert "Ana" not in told and "ana@" not in told and "annotator-" in told
    assert "Licences" not in told and "license" not in front(told), "nothing was imported"


def test_raters_of_an_import_are_told_as_such(desk, pairs, cast) -> None:
    assert "from imported work" not in text_of(freeze(pairs))
    turn = Ranking.objects.first().submission_id
    Submission.objects.filter(pk=turn).update(user=None, rater="Judge", origin="import")
    told = text_of(freeze(pairs))
    assert "(1 of them from imported work, by the names that came with it)" in told
    assert "Judge" not in told


def test_rules_about_people_name_nobody_in_the_files(sft, cast) -> None:
    """Keys of people stand in the snapshot's row, which leads read, and in no file."""
    rules = {"annotators": [f"user {cast.ana.pk}"], "without_annotators": ["name Dora Strange"]}
    datasets.change(dataset=sft, name=sft.name, values={**sft.selection, **rules})
    snapshot = freeze(sft)
    assert snapshot.selection["without_annotators"] == ["name Dora Strange"]
    folder = Path(snapshot.path)
    for path in folder.rglob("*.*"):
        data = path.read_bytes()
        assert b"Strange" not in data and f"user {cast.ana.pk}".encode() not in data, path
    said = json.loads((folder / "snapshot.json").read_text("utf-8"))
    assert said["selection"]["annotators"] == list(said["stats"]["work"])
    assert verifying.check_files(folder) == []


def test_shares_under_pseudonyms(sft, desk, cast) -> None:
    stage = desk.stage("write")
    for number in range(20):
        prompt = Prompt.objects.get(external_id=f"Question {number}?")
        desk.write(stage, prompt, f"Bea says {number}", cast.bea)
    snapshot = freeze(sft)
    assert sorted(snapshot.stats["work"].values()) == [20, 60]
    told = text_of(snapshot)
    assert "2 annotators" in told and "is 75 % of the rows" in told and "| 20 | 25 % |" in told


def test_one_licence_for_all(pairs, cast) -> None:
    batch = an_import(cast, "Apache-2.0", "https://example.org/data")
    Prompt.objects.update(batch=batch)
    Response.objects.update(batch=batch)
    told = text_of(freeze(pairs))
    assert front(told)["license"] == "apache-2.0"
    assert "| Apache-2.0 | 120 | 100 % |" in told and "<https://example.org/data>" in told
    assert "Unknown for" not in told


def test_licences_of_prompts_and_answers_are_both_carried(pairs, cast) -> None:
    """Of 60 prompts with two pairs each: 30 without a licence, 6 with an answer of another one."""
    named, silent, other = (an_import(cast, name) for name in ("MIT", "", "CC-BY-4.0"))
    for number, prompt in enumerate(Prompt.objects.order_by("pk")):
        batch = named if number < 30 else silent
        Prompt.objects.filter(pk=prompt.pk).update(batch=batch)
        Response.objects.filter(prompt=prompt).update(batch=batch)
        if number < 6:
            Response.objects.filter(prompt=prompt, text=f"b {number}").update(batch=other)
    snapshot = freeze(pairs)
    told = {
        " and ".join(each["licence"] for each in group["licences"]): group["rows"]
        for group in snapshot.stats["licences"]
    }
    assert told == {"": 60, "MIT": 54, "MIT and CC-BY-4.0": 6}
    text = text_of(snapshot)
    assert front(text)["license"] == "other"
    assert "Unknown for 50 %" in text and "| MIT and CC-BY-4.0 | 6 | 5 % |" in text


def test_licences_of_imports_that_gave_no_row_do_not_count(pairs, cast) -> None:
    """However many there are in other workspaces: each row keeps its own."""
    for number in range(70):
        an_import(cast, f"Licence {number}", f"https://example.org/{number}")
    batch = an_import(cast, "MIT")
    Prompt.objects.update(batch=batch)
    Response.objects.update(batch=batch)
    assert front(text_of(freeze(pairs)))["license"] == "mit"


def test_more_licences_than_are_told_apart_have_one_name(pairs, cast, monkeypatch) -> None:
    monkeypatch.setattr(origins, "MOST_LICENCES", 3)
    for number, prompt in enumerate(Prompt.objects.order_by("pk")[:6]):
        batch = an_import(cast, f"Licence {number}")
        Prompt.objects.filter(pk=prompt.pk).update(batch=batch)
    groups = freeze(pairs).stats["licences"]
    told = {each["licence"]: group["rows"] for group in groups for each in group["licences"]}
    assert told == {"Licence 0": 2, "Licence 1": 2, origins.OTHERS: 8}


def test_rows_made_here_beside_imported_ones(sft, desk, cast) -> None:
    batch = an_import(cast, "cc0-1.0")
    Prompt.objects.filter(external_id="Question 1?").update(batch=batch)
    text = text_of(freeze(sft))
    assert front(text)["license"] == "other" and "made here, not imported | 59" in text


def test_a_licence_and_a_page_of_strangers_are_text(pairs, cast) -> None:
    batch = an_import(cast, "a | <b>b</b>\n# c", "javascript:alert(1)")
    Prompt.objects.update(batch=batch)
    Response.objects.update(batch=batch)
    text = text_of(freeze(pairs))
    assert r"a \| \<b\>b\</b\> \# c" in text and "javascript" not in text
    assert front(text)["license"] == "other"


def test_rules_and_personal_data_are_said(sft) -> None:
    datasets.change(dataset=sft, name=sft.name, values={**sft.selection, "min_length": 5})
    text = text_of(freeze(sft))
    assert "Shortest, in characters" in text and "Nothing was done about personal data" in text
    assert "at the 95th per cent" in text and "in the middle" in text


def test_no_rule_is_said_twice(sft) -> None:
    rules = {"boilerplate": True, "near": 90, "near_test": 80, "max_per_prompt": 2, "min_length": 2}
    datasets.change(dataset=sft, name=sft.name, values={**sft.selection, **rules})
    told = text_of(freeze(sft)).split("## Rules")[1]
    for line in (
        "No refusals and boilerplate",
        "No near-duplicates (90 %)",
        "At most 2 of a prompt",
    ):
        assert f"\n- {line}\n" in told
    assert "\n- Shortest, in characters: from 2 characters\n" in told


def test_in_how_many_rows_was_masked_is_said(as_user, cast, sft, desk) -> None:
    desk.write(desk.stage("write"), desk.prompt("Whom?"), "Ask a@mail.example.org.", cast.ana)
    datasets.change(dataset=sft, name=sft.name, values={**sft.selection, "personal": "mask"})
    assert "Masked: mail addresses in 1 row." in text_of(freeze(sft))
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    page = as_user(cast.lee).get(reverse("exports:dataset", args=[sft.pk])).content.decode()
    assert "Personal data masked: mail addresses in 1 row." in page
    rules = {**sft.selection, "personal": "mask", "personal_kinds": ["iban"]}
    datasets.change(dataset=sft, name=sft.name, values=rules)
    assert "Masked: none." in text_of(freeze(sft))


def test_plots_are_drawn_the_same_twice_and_shown(as_user, cast, pairs, check_roles) -> None:
    one, two = freeze(pairs), freeze(pairs)
    names = [each.file for each in plots.there(Path(one.path))]
    assert names == ["splits.png", "lengths.png", "dropped.png"]
    for name in names:
        first, second = (Path(each.path) / "plots" / name for each in (one, two))
        assert first.read_bytes() == second.read_bytes()
        assert first.read_bytes().startswith(b"\x89PNG")
        assert f"](plots/{name})" in text_of(one)
    assert one.sha256 == files.hash_data(Path(one.path))[0] == two.sha256
    url = reverse("exports:plot", args=[one.pk, "splits.png"])
    check_roles(url, at_least="lead")
    lee = as_user(cast.lee)
    response = lee.get(url)
    assert response["Content-Type"] == "image/png"
    assert response.content.startswith(b"\x89PNG")
    for name in ("snapshot.json", "..%2Fsnapshot.json", "none.png"):
        missing = url.replace("splits.png", name)
        assert lee.get(missing).status_code == 404
    shown = lee.get(reverse("exports:snapshot", args=[one.pk])).content.decode()
    assert url in shown and "plots/splits.png)" not in shown


def test_many_bars_are_put_together() -> None:
    facts = {
        "counts": {"train": 1, "validation": 0, "test": 0},
        "stats": {"labels": {f"label {n} $x$": 20 - n for n in range(20)}},
        "dropped": {},
    }
    found = plots.bars(facts)
    assert set(found) == {"splits", "labels"}
    assert len(found["labels"]) == plots.BARS
    assert found["labels"]["all others"] == sum(range(1, 10))


def test_labels_are_counted(tmp_path, sft) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from exports import formats

    (tmp_path / "data").mkdir()
    for split, labels in (("train", "aab"), ("validation", ""), ("test", "b")):
        rows = [{"text": "x", "label": label} for label in labels]
        table = pa.Table.from_pylist(rows, formats.schema("labels"))
        pq.write_table(table, tmp_path / files.data_path(split))
    assert origins.labels(tmp_path) == {"a": 2, "b": 2}
    assert origins.labels(Path(freeze(sft).path)) == {}


def test_text_of_others_is_no_mark_up() -> None:
    assert card.plain("a | [b](c) `d`\n<e>") == r"a \| \[b\](c) \`d\` \<e\>"
