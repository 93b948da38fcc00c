"""What each annotator's word weighs, on the page of a dataset whose rules ask for it."""

import pytest
from django.urls import reverse
from django.utils import timezone

from exports import datasets, previews, raters
from exports.models import Dataset, Preview

pytestmark = pytest.mark.django_db


@pytest.fixture
def ranked(desk, cast) -> None:
    stage = desk.stage("rank")
    for number in range(6):
        prompt = desk.prompt(f"Q{number}")
        good, bad = desk.answer(prompt, f"good {number}"), desk.answer(prompt, f"bad {number}")
        for who in ("A <b>judge</b>", "Another"):
            desk.rank(stage, prompt, [[good], [bad]], rater=who)
        desk.rank(stage, prompt, [[bad], [good]], cast.ana)


def made(cast, **rules) -> Dataset:
    values = {"projects": ["support-desk"], **rules}
    return datasets.create(
        workspace=cast.acme, name="Pairs", kind="preference", values=values, user=cast.lee
    )


def test_weights_with_their_reasons(as_user, cast, ranked, monkeypatch) -> None:
    lee, dataset = as_user(cast.lee), made(cast, votes="weighted")
    address = reverse("exports:weights", args=[dataset.pk])
    monkeypatch.setattr(raters, "measure", None)  # no page measures
    waits = lee.get(address).content.decode()
    assert "measuring" in waits and 'hx-trigger="every 2s"' in waits
    monkeypatch.undo()
    previews.compute(dataset.pk)
    monkeypatch.setattr(raters, "measure", None)
    assert address in lee.get(reverse("exports:dataset", args=[dataset.pk])).content.decode()
    shown = lee.get(address).content.decode()
    assert "A &lt;b&gt;judge&lt;/b&gt;" in shown and "<b>judge" not in shown
    assert str(cast.ana) in shown and "as the majority of the others in 0 of 6" in shown
    assert shown.index("Another") < shown.index(str(cast.ana)), "the heaviest first"


def test_no_weights_where_no_rule_asks(as_user, cast, ranked) -> None:
    lee, dataset = as_user(cast.lee), made(cast)
    page = lee.get(reverse("exports:dataset", args=[dataset.pk])).content.decode()
    assert reverse("exports:weights", args=[dataset.pk]) not in page


def test_a_look_from_before_weights_were_kept_is_made_anew(as_user, cast, ranked) -> None:
    lee, dataset = as_user(cast.lee), made(cast, votes="weighted")
    result = {"selection": dataset.selection, "counts": {}}
    Preview.objects.create(
        dataset=dataset, key="k", state="done", result=result, computed=timezone.now()
    )
    assert "measuring" in lee.get(reverse("exports:weights", args=[dataset.pk])).content.decode()
    preview = Preview.objects.get()
    assert (preview.state, preview.key) == ("queued", "")


def test_rules_that_no_longer_hold_are_said(as_user, cast, ranked) -> None:
    lee, dataset = as_user(cast.lee), made(cast, votes="weighted")
    Dataset.objects.update(selection=dataset.selection | {"projects": ["gone"]})
    lee.get(reverse("exports:weights", args=[dataset.pk]))
    previews.compute(dataset.pk)
    shown = lee.get(reverse("exports:weights", args=[dataset.pk])).content.decode()
    assert "no project gone here" in shown.lower() and "<table" not in shown
