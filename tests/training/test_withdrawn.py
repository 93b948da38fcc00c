"""Training and erasure: a snapshot is looked at before it is trained on; runs and models that
learned from a withdrawn one are named."""

import pytest
from django.urls import reverse

from annotation.errors import Refused
from annotation.models import Erasure
from exports import withdrawal
from exports.models import Snapshot
from training import runs, withdrawn
from training.models import Run, RunInput
from training.staging import staged


@pytest.fixture
def erasure(cast):
    """Something was erased; whether the test snapshots hold it cannot be told, so they might."""

    def make() -> Erasure:
        return Erasure.objects.create(
            workspace=cast.acme, kind="prompt", subject=1, prompts=[1], author=cast.olga
        )

    return make


def test_a_start_looks_for_itself(cast, base, freeze, sent, erasure) -> None:
    snapshot = freeze("sft")
    erasure()
    with pytest.raises(Refused, match="has been withdrawn: train on its successor"):
        runs.create_run(
            workspace=cast.acme,
            recipe="sft",
            config={},
            inputs={"model": "tiny", "snapshot": snapshot},
            user=cast.lee,
        )
    assert not Run.objects.exists()


def test_one_that_waits_is_looked_at_again_before_it_reads(make_run, erasure) -> None:
    run = make_run()
    erasure()
    with pytest.raises(Refused, match="is withdrawn now"):
        staged(run.inputs.select_related("snapshot__dataset__workspace"))


def test_the_sweep_of_runs_sweeps_snapshots(make_run, erasure) -> None:
    make_run()
    erasure()
    runs.sweep()
    assert Snapshot.objects.get().state == "withdrawn"


@pytest.fixture
def family(make_run) -> list[Run]:
    """A run on a snapshot, one that starts from its model, one from that; and a stranger."""
    first = make_run(state="succeeded")
    snapshot = first.inputs.get(name="snapshot").snapshot
    found = [first]
    for _ in range(2):
        later = Run.objects.create(workspace=first.workspace, recipe="sft", state="succeeded")
        RunInput.objects.create(run=later, name="init", kind="adapter", source=found[-1])
        found.append(later)
    other = Snapshot.objects.create(dataset=snapshot.dataset, number=9, state="ready", selection={})
    stranger = Run.objects.create(workspace=first.workspace, recipe="sft", state="failed")
    RunInput.objects.create(run=stranger, name="snapshot", kind="snapshot", snapshot=other)
    return found


def test_runs_and_models_are_named_down_the_line(family) -> None:
    snapshot = family[0].inputs.get(name="snapshot").snapshot
    found = withdrawn.touched([snapshot])
    assert [each.run for each in found] == family
    assert [each.from_run for each in found] == [None, family[0].pk, family[1].pk]
    assert all(each.snapshot == snapshot and each.weights == each.run.artifact for each in found)


def test_checkpoints_of_a_run_that_came_to_nothing_are_named(client, cast, family) -> None:
    """They learned from the rows, too, and can be gone on from."""
    stranger = Run.objects.get(state="failed")
    snapshot = stranger.inputs.get(name="snapshot").snapshot
    (found,) = withdrawn.touched([snapshot])
    assert found.weights is None
    checkpoints = stranger.directory / "checkpoints"
    checkpoints.mkdir(parents=True)
    client.force_login(cast.lee)
    panel = client.get(reverse("training:snapshot_panel", args=[snapshot.pk])).content.decode()
    assert str(checkpoints) in panel


def test_pages_name_them(client, cast, family, erasure) -> None:
    snapshot = family[0].inputs.get(name="snapshot").snapshot
    tombstone = erasure()
    client.force_login(cast.olga)
    panel = client.get(reverse("training:erasure_panel", args=[tombstone.pk])).content.decode()
    assert withdrawal.withdrawn_by(tombstone) == [snapshot]
    for run in family:
        assert f"run {run.pk}" in panel
    assert str(family[2].artifact) in panel
    panel = client.get(reverse("training:snapshot_panel", args=[snapshot.pk])).content.decode()
    assert f"started from run {family[1].pk}" in panel and "cannot be cut" in panel
    page = client.get(reverse("training:run", args=[family[2].pk])).content.decode()
    assert "cannot unlearn" in page and str(snapshot) in page


def test_a_run_on_what_is_good_says_nothing(client, cast, family) -> None:
    client.force_login(cast.lee)
    page = client.get(reverse("training:run", args=[family[2].pk])).content.decode()
    assert "cannot unlearn" not in page
