"""Tags, a note and a sign-off: who may, what is refused, and that no file learns of it."""

from pathlib import Path

import pytest
from django.urls import reverse

from annotation.errors import Refused
from annotation.models import Activity, Role
from exports import files, signing, snapshots
from exports.models import Snapshot

pytestmark = pytest.mark.django_db


@pytest.fixture
def frozen(sft) -> Snapshot:
    return snapshots.freeze_now(dataset=sft, user=None)


def page(client, snapshot: Snapshot) -> str:
    return client.get(reverse("exports:snapshot", args=[snapshot.pk])).content.decode()


def test_a_lead_signs_and_takes_it_back(as_user, cast, frozen) -> None:
    lee = as_user(cast.lee)
    before = {p: p.read_bytes() for p in Path(frozen.path).rglob("*") if p.is_file()}
    shown = lee.post(reverse("exports:snapshot_sign", args=[frozen.pk]), follow=True)
    assert f"{frozen} is signed off by you" in shown.content.decode()
    frozen.refresh_from_db()
    assert frozen.signed_by == cast.lee and signing.in_force(frozen)
    assert 'class="tag good">signed off by Lee' in page(lee, frozen)
    versions = lee.get(reverse("exports:versions", args=[frozen.dataset_id])).content.decode()
    assert "signed off" in versions
    again = lee.post(reverse("exports:snapshot_sign", args=[frozen.pk]), follow=True)
    assert "signed off already, by Lee" in again.content.decode()
    lee.post(reverse("exports:snapshot_unsign", args=[frozen.pk]))
    frozen.refresh_from_db()
    assert frozen.signed is None and frozen.signed_by is None
    told = list(Activity.objects.order_by("pk").values_list("what", flat=True))
    assert told[-2:] == ["version signed off", "sign-off taken back"]
    after = {p: p.read_bytes() for p in Path(frozen.path).rglob("*") if p.is_file()}
    assert after == before and files.hash_data(Path(frozen.path))[0] == frozen.sha256


def test_only_who_signed_or_an_owner_takes_it_back(cast, frozen) -> None:
    signing.sign(snapshot=frozen, user=cast.lee)
    with pytest.raises(Refused, match="Lee signed .* off: they, or an owner"):
        signing.unsign(snapshot=frozen, user=cast.rui, role=Role.LEAD)
    signing.unsign(snapshot=frozen, user=cast.olga, role=Role.OWNER)
    with pytest.raises(Refused, match="is not signed off"):
        signing.unsign(snapshot=frozen, user=cast.lee, role=Role.LEAD)


@pytest.mark.parametrize("state", ["withdrawn", "failed", "queued"])
def test_only_a_ready_version_is_signed(cast, frozen, state: str) -> None:
    Snapshot.objects.filter(pk=frozen.pk).update(state=state)
    with pytest.raises(Refused, match=f"is {state}: only a ready version"):
        signing.sign(snapshot=frozen, user=cast.lee)


def test_a_withdrawn_version_stands_signed_no_more(cast, frozen) -> None:
    signing.sign(snapshot=frozen, user=cast.lee)
    Snapshot.objects.filter(pk=frozen.pk).update(state="withdrawn")
    frozen.refresh_from_db()
    assert frozen.signed is not None and not signing.in_force(frozen)


def test_tags_and_a_note(as_user, cast, frozen) -> None:
    lee = as_user(cast.lee)
    url = reverse("exports:snapshot_about", args=[frozen.pk])
    said = {"tags": "release, the  first ,release,", "note": "Good.\r\n\r\n**Read** <b>this</b>"}
    lee.post(url, said)
    frozen.refresh_from_db()
    assert frozen.tags == ["release", "the first"] and frozen.note.startswith("Good.\n\n")
    shown = page(lee, frozen)
    assert "<strong>Read</strong>" in shown and "<b>this</b>" not in shown
    assert '<span class="tag">the first</span>' in shown
    versions = lee.get(reverse("exports:versions", args=[frozen.dataset_id])).content.decode()
    assert '<span class="tag">release</span>' in versions


@pytest.mark.parametrize(
    ("tags", "note", "words"),
    [
        (",".join(f"t{n}" for n in range(11)), "", "11 tags are too many"),
        ("x" * 41, "", "is too long"),
        ("a\0b", "", "no NUL"),
        ("", "a\0b", "NUL character"),
        ("", "x" * 20_001, "20,001 characters"),
    ],
)
def test_what_is_no_tag_and_no_note(as_user, cast, frozen, tags, note, words) -> None:
    lee = as_user(cast.lee)
    url = reverse("exports:snapshot_about", args=[frozen.pk])
    shown = lee.post(url, {"tags": tags, "note": note}, follow=True).content.decode()
    assert "Nothing was saved" in shown and words in shown
    frozen.refresh_from_db()
    assert (frozen.tags, frozen.note) == ([], "")


def test_the_api(as_user, cast, frozen) -> None:
    lee = as_user(cast.lee)
    url = reverse("api-snapshot", args=[frozen.pk])
    sent = {"tags": ["release"], "note": "Good."}
    got = lee.patch(url, sent, content_type="application/json").json()
    assert (got["tags"], got["note"]) == (["release"], "Good.")
    got = lee.patch(url, {"sha256": "0" * 64, "note": "Better."}, content_type="application/json")
    assert got.json()["tags"] == ["release"] and got.json()["sha256"] == frozen.sha256
    bad = lee.patch(url, {"tags": ["x" * 41]}, content_type="application/json")
    assert bad.status_code == 400 and "too long" in str(bad.json())
    sign = reverse("api-snapshot-sign", args=[frozen.pk])
    assert lee.post(sign).json()["signed_by"] == cast.lee.pk
    assert lee.post(sign).status_code == 400
    assert lee.delete(sign).json()["signed_by"] is None
