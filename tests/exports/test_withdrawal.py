"""Snapshots that hold what was erased: withdrawn on sweep, at download and at training start; the
successor holds nothing of it."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from django.urls import reverse

from annotation import erasing
from annotation.errors import Refused
from annotation.models import Erasure, Membership, Prompt, Role, Submission
from annotation.people import Actor
from exports import files, previews, snapshots, withdrawal
from exports.models import Preview, Snapshot


@pytest.fixture
def frozen(sft) -> Snapshot:
    return snapshots.freeze_now(dataset=sft, user=None)


def olga(cast) -> Actor:
    return Actor(cast.olga, Role.OWNER)


def erase_prompt(cast, prompt: Prompt | None = None) -> Erasure:
    return erasing.erase_prompt(prompt=prompt or Prompt.objects.first(), by=olga(cast))


def state(snapshot: Snapshot) -> str:
    snapshot.refresh_from_db()
    return str(snapshot.state)


def texts(snapshot: Snapshot) -> str:
    return repr(list(files.read_rows(Path(snapshot.path))))


def test_a_sweep_withdraws_what_holds_it_and_keeps_its_figures(cast, frozen) -> None:
    before = (frozen.sha256, frozen.counts)
    erasure = erase_prompt(cast)
    assert withdrawal.sweep() == 1 and state(frozen) == "withdrawn"
    assert (frozen.sha256, frozen.counts) == before
    assert "1 of its rows holds what was erased" in frozen.reason
    assert withdrawal.withdrawn_by(erasure) == [frozen]
    assert withdrawal.sweep() == 0


def test_one_that_holds_nothing_of_it_stays_and_is_not_read_twice(
    cast, desk, frozen, monkeypatch
) -> None:
    erase_prompt(cast, desk.prompt("Another"))
    assert withdrawal.sweep() == 0 and state(frozen) == "ready"
    monkeypatch.setattr(withdrawal, "rows_of", pytest.fail)
    assert withdrawal.sweep() == 0
    frozen.refresh_from_db()
    assert frozen.stats["lengths"] and withdrawal.check(frozen).state == "ready"


def test_everything_by_a_person_is_found_by_answers_and_turns(cast, desk, frozen, pairs) -> None:
    ranked = snapshots.freeze_now(dataset=pairs, user=None)
    member = Membership.objects.get(user=cast.ana)
    erasing.erase_person(membership=member, by=olga(cast))
    withdrawal.sweep()
    assert state(frozen) == state(ranked) == "withdrawn"
    with pytest.raises(Refused, match="no row at all"):
        snapshots.freeze_now(dataset=pairs, user=None)


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_download_looks_for_itself(client, cast, frozen, form: str) -> None:
    erase_prompt(cast)
    client.force_login(cast.lee)
    answer = client.get(reverse("exports:download", args=[frozen.pk, form]))
    assert answer.status_code == 302 and state(frozen) == "withdrawn"


def test_the_successor_holds_nothing_of_it(client, cast, sft, frozen) -> None:
    assert "Question 7?" in texts(frozen)
    erasure = erase_prompt(cast, Prompt.objects.get(external_id="Question 7?"))
    client.force_login(cast.olga)
    page = client.get(reverse("exports:snapshot", args=[frozen.pk])).content.decode()
    assert "Freeze its successor" in page and frozen.sha256 in page
    after = snapshots.freeze_now(dataset=sft, user=None)
    assert "Question 7?" not in texts(after) and after.rows == frozen.rows - 1
    assert withdrawal.sweep() == 0 and state(after) == "ready"
    rows = pq.read_table(Path(after.path) / "provenance.parquet").to_pylist()
    assert not {row["prompt"] for row in rows} & set(erasure.prompts)
    page = client.get(reverse("exports:snapshot", args=[frozen.pk])).content.decode()
    assert "Support SFT v2" in page and "Freeze its successor" not in page
    panel = client.get(reverse("exports:erasure_panel", args=[erasure.pk])).content.decode()
    assert "Support SFT v1" in panel and "Support SFT v2" in panel


def test_one_frozen_while_rows_were_blanked_is_looked_at(cast, sft, frozen) -> None:
    """The tombstone is dated when nothing is left, so a freeze that began before is older."""
    erasure = erase_prompt(cast)
    Snapshot.objects.filter(pk=frozen.pk).update(created=erasure.created)
    assert withdrawal.sweep() == 1


def test_an_unreadable_provenance_is_no_excuse(cast, desk, frozen) -> None:
    (Path(frozen.path) / "provenance.parquet").write_bytes(b"no parquet")
    erase_prompt(cast, desk.prompt("Another"))
    withdrawal.sweep()
    assert state(frozen) == "withdrawn" and "cannot be read" in frozen.reason


def test_files_that_are_away_are_looked_at_when_they_are_back(cast, frozen, tmp_path) -> None:
    home, away = Path(frozen.path), tmp_path / "away"
    home.rename(away)
    erase_prompt(cast)
    assert withdrawal.sweep() == 0 and state(frozen) == "ready"
    away.rename(home)
    assert withdrawal.sweep() == 1


def test_other_workspaces_keep_theirs(cast, frozen) -> None:
    Erasure.objects.create(
        workspace=cast.other,
        kind="prompt",
        subject=1,
        prompts=list(Prompt.objects.values_list("pk", flat=True)),
    )
    assert withdrawal.sweep() == 0 and state(frozen) == "ready"


def test_what_the_dataset_page_showed_is_thrown_away(cast, sft) -> None:
    previews.refresh(dataset=sft)
    previews.compute(sft.pk)
    assert "Question" in repr(Preview.objects.get().result)
    erase_prompt(cast)
    withdrawal.sweep()
    assert not Preview.objects.exists()


def test_an_owner_deletes_the_files_by_name(client, cast, frozen) -> None:
    erase_prompt(cast)
    withdrawal.sweep()
    url = reverse("exports:snapshot_destroy", args=[frozen.pk])
    home = Path(frozen.path)
    client.force_login(cast.olga)
    client.post(url, {"name": "v1"})
    assert home.exists()
    page = client.post(url, {"name": "Support SFT v1"}, follow=True).content.decode()
    assert not home.exists() and "Its files were destroyed" in page and frozen.sha256 in page


def test_only_a_withdrawn_one_is_destroyed(frozen) -> None:
    with pytest.raises(Refused, match="only a withdrawn one"):
        withdrawal.destroy(snapshot=frozen)
    assert Path(frozen.path).exists()


def test_no_row_is_counted_twice(cast, frozen) -> None:
    row = pq.read_table(Path(frozen.path) / "provenance.parquet").to_pylist()[3]
    everything = Erasure(
        prompts=[row["prompt"]], responses=row["responses"], submissions=row["submissions"]
    )
    assert withdrawal.rows_of(frozen, everything) == 1
    assert withdrawal.rows_of(frozen, Erasure(submissions=row["submissions"])) == 1
    assert withdrawal.rows_of(frozen, Erasure(responses=[0])) == 0
    all_turns = list(Submission.objects.values_list("pk", flat=True))
    assert withdrawal.rows_of(frozen, Erasure(submissions=all_turns)) == frozen.rows
