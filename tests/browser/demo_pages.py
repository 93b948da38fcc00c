"""Every page of the site over the demo, as addresses; run inside the demo's home.

The list is tests/site_map.py's, so that a new page cannot be forgotten. Its world is made in the
demo, and beside it stand the demo's own things, which have more on their pages."""

import json
import random
from collections.abc import Iterator
from operator import attrgetter
from types import SimpleNamespace
from urllib.parse import urlencode

from django.core.files.base import ContentFile
from django.urls import reverse
from django.utils import timezone

from annotation import import_files, measuring, quality
from annotation.layouts import MAPPING
from annotation.models import (
    Import,
    Project,
    Prompt,
    Ranking,
    Stage,
    Submission,
    User,
    Workspace,
)
from exports import datasets, previews, snapshots
from exports.models import Dataset, Snapshot
from tests.site_map import VIEWS, View, make_world
from training.models import Run, RunEvent

PEOPLE = ("ana", "bea", "rui", "lee", "olga")
# A rater has a page by name: richer() has it.
NOT_PAGES = {
    "healthz",
    "schema",
    "annotation:export",
    "annotation:rater",
    "exports:download",
    "exports:plot",
}


def tell() -> None:
    """Print {"open": [...], "ana": [...], "olga": [...]}: who visits which addresses."""
    world = make_world(demo_cast())
    told = {
        "open": [address(view, world) for view in views("open")],
        "ana": [address(view, world) for view in views("own", "page") if view.least == "annotator"],
        "olga": [address(view, world) for view in views("own", "page")],
    }
    told["ana"] += [reverse("annotation:work", args=[stage.pk]) for stage in stages()]
    told["olga"] += list(richer())
    print(json.dumps({who: list(dict.fromkeys(found)) for who, found in told.items()}))


def demo_cast() -> SimpleNamespace:
    """The demo's people and workspace under the names that the tests' cast has."""
    cast = SimpleNamespace(acme=Workspace.objects.get(slug="demo"))
    for name in PEOPLE:
        setattr(cast, name, User.objects.get(email=f"{name}@example.org"))
    cast.project = Project.objects.get(workspace=cast.acme, slug="support-desk")
    return cast


def views(*who: str) -> Iterator[View]:
    for view in VIEWS:
        if view.method == "get" and view.who in who and view.name not in NOT_PAGES:
            yield view


def address(view: View, world: SimpleNamespace) -> str:
    return reverse(view.name, args=[attrgetter(path)(world) for path in view.args])


def stages() -> list[Stage]:
    """An open stage of each kind."""
    found: dict[str, Stage] = {}
    for stage in Stage.objects.filter(state="open").order_by("pk"):
        found.setdefault(stage.kind, stage)
    return list(found.values())


def richer() -> Iterator[str]:
    """The demo's own things: half-done stages, frozen versions, and a run with its charts."""
    for stage in stages():
        yield reverse("annotation:stage", args=[stage.pk])
        yield reverse("annotation:stage_edit", args=[stage.pk])
    busy = Prompt.objects.filter(responses__submission__isnull=False).order_by("pk").last()
    assert busy is not None, "the demo has answers"
    yield reverse("annotation:prompt", args=[busy.pk])
    for dataset in Dataset.objects.exclude(selection={}):
        previews.refresh(dataset=dataset, force=True)
        previews.compute(dataset.pk)
        yield reverse("exports:dataset", args=[dataset.pk])
        yield reverse("exports:dataset_edit", args=[dataset.pk])
        yield reverse("exports:explore", args=[dataset.pk]) + "?show=all&length.from=20"
        yield reverse("exports:explore", args=[dataset.pk]) + "?show=groups"
        yield reverse("exports:explore_row", args=[dataset.pk, 1])
    ready = Snapshot.objects.filter(state="ready").first()
    assert ready is not None, "the demo has a frozen version"
    yield reverse("exports:snapshot", args=[ready.pk])
    yield reverse("exports:compare", args=[again_frozen(ready).pk, ready.pk])
    yield reverse("training:run", args=[finished_run().pk])
    yield reverse("annotation:import", args=[reported_import().pk])
    yield reverse("annotation:import", args=[previewed_import().pk])
    stage, rater = measured_judge()
    yield reverse("annotation:quality", args=[stage.pk])
    yield reverse("annotation:rater", args=[stage.pk]) + "?" + urlencode({"rater": rater})


def again_frozen(snapshot: Snapshot) -> Snapshot:
    """The next version of its dataset, by another rule: something to compare it with."""
    dataset = snapshot.dataset
    values = {**dataset.selection, "min_length": 60}
    datasets.change(dataset=dataset, name=dataset.name, values=values)
    return snapshots.freeze_now(dataset=dataset, user=None)


def finished_run() -> Run:
    """A run that has ended well, without torch: its rows alone."""
    rng = random.Random(1)
    now = timezone.now()
    metrics = {"before": {"loss": 3.1}, "after": {"loss": 1.9}}
    samples = [{"prompt": "Why is the sky blue?", "before": "Sky.", "after": "It scatters light."}]
    run = Run.objects.create(
        workspace=Workspace.objects.get(slug="demo"), name="SFT of tiny", recipe="sft",
        state="succeeded", step=40, total=40, started=now, finished=now,
        config={"epochs": 4, "adaptation": "lora"},
        result={"metrics": metrics, "samples": samples},
    )  # fmt: skip
    lines = [("metrics", n, {"values": value(n, rng)}) for n in range(1, 41)]
    lines += [("alarm", 20, {"text": "The loss jumped."}), ("note", 40, {"text": "Ended."})]
    RunEvent.objects.bulk_create(
        RunEvent(run=run, attempt=1, seq=seq, time=now, kind=kind, step=step, data=data)
        for seq, (kind, step, data) in enumerate(lines)
    )
    return run


def measured_judge() -> tuple[Stage, str]:
    """A stage of the demo in which a model ranked, too, with its quality measured."""
    found = Submission.objects.filter(stage__kind="rank", state="submitted", user__isnull=False)
    one_each = {turn.item_id: turn for turn in found.filter(stage__project=demo_cast().project)}
    for turn in list(one_each.values())[:8]:
        judged = Submission.objects.create(
            item=turn.item, stage=turn.stage, rater="A judge", origin="import",
            state="submitted", shown=turn.shown, submitted=timezone.now(),
        )  # fmt: skip
        Ranking.objects.create(submission=judged, order=[[answer] for answer in turn.shown])
    measuring.at_once(
        project=turn.stage.project, stage=turn.stage, kind="quality",
        compute=lambda measured: quality.compute(measured.stage),
    )  # fmt: skip
    return turn.stage, "A judge"


def value(step: int, rng: random.Random) -> dict[str, float]:
    loss = 1.8 + 1.4 / step + rng.random() / 10
    return {"loss": loss, "eval_loss": loss + 0.1, "token_accuracy": 1 - loss / 5}


def reported_import() -> Import:
    """An import that refused rows, more than its page shows at once, with its report."""
    refused = [{"line": line, "reason": "The row has no prompt."} for line in range(3, 43)]
    report = {
        "rows": 78, "imported": 30, "updated": 5, "unchanged": 3, "refused": refused,
        "notes": [{"line": 7, "note": "An answer was there already."}],
        "prompts": 30, "responses": 60, "rankings": 30, "seconds": 1,
    }  # fmt: skip
    return Import.objects.create(
        project=demo_cast().project, filename="answers.jsonl", layout="candidates",
        state=Import.State.DONE, rows_done=78, rows_total=78, report=report, skip_bad=True,
    )  # fmt: skip


def previewed_import() -> Import:
    """An upload that waits for its lead, with bad rows and columns that no layout knows."""
    lines = ["Topic,Question,Reply", *(f"{n},{n % 2 * 'Why?'},So." for n in range(60))]
    row = Import.objects.create(
        project=demo_cast().project, filename="faq.csv", layout=MAPPING, skip_bad=False,
        mapping={"prompt": "question", "response": "reply", "metadata.topic": "topic"},
    )  # fmt: skip
    row.path = import_files.store(row, ContentFile("\n".join(lines).encode()))
    row.save(update_fields=["path"])
    return row
