"""A snapshot: its facts, its card, its files."""

from pathlib import Path

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from annotation import access, activity
from annotation.errors import Refused
from annotation.markdown import render as markdown
from annotation.models import Erasure, Role
from exports import charts, downloads, files, plots, rule_words, signing, withdrawal
from exports.models import Snapshot
from exports.splits import SPLITS

BUSY = (Snapshot.State.QUEUED, Snapshot.State.FREEZING)


def _fetch(request: HttpRequest, pk: int) -> Snapshot:
    rows = Snapshot.objects.select_related("dataset__workspace", "created_by", "signed_by")
    return withdrawal.check(access.fetch(request, rows, Role.LEAD, pk=pk))


@login_required
@require_GET
def snapshot(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    context = {
        "snapshot": found,
        "dataset": found.dataset,
        "busy": found.state in BUSY,
        "tags": ", ".join(found.tags),
        "note": markdown(found.note) if found.note else "",
        "may_unsign": found.signed_by == request.user or request.role >= Role.OWNER,  # type: ignore[attr-defined]
    }
    if found.state == Snapshot.State.READY:
        card = Path(found.path) / "README.md"
        context |= {
            "left_out": sum(found.dropped.values()),
            "chart": charts.histogram(found.stats["lengths"]),
            "card": _body(card.read_text("utf-8")) if card.exists() else "",
            "gone": not card.exists(),
            "forms": list(downloads.FORMATS),
            "rules": [
                (rule_words.TITLES.get(name, name), _words(value))
                for name, value in found.selection.items()
            ],
            "plots": plots.there(Path(found.path)),
            "others": _others(found),
            "splits": [split for split in SPLITS if found.counts.get(split)],
        }
    elif found.state == Snapshot.State.WITHDRAWN:
        context |= {
            "successor": withdrawal.successor(found),
            "on_disk": bool(found.path) and Path(found.path).is_dir(),
        }
    return render(request, "exports/snapshot.html", context)


def _others(snapshot: Snapshot) -> list[Snapshot]:
    """What it can be compared with: the dataset's other versions, then those of other datasets of
    its kind; the one before it first."""
    ready = Snapshot.objects.filter(
        dataset__workspace=snapshot.workspace,
        dataset__kind=snapshot.dataset.kind,
        state=Snapshot.State.READY,
    ).exclude(pk=snapshot.pk)
    rows = ready.select_related("dataset").order_by("-pk")[:200]
    own, number = snapshot.dataset_id, snapshot.number
    return sorted(
        rows, key=lambda row: (row.dataset_id != own, row.number >= number, -row.number, row.pk)
    )


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _body(card: str) -> str:
    """The card as HTML, without what the page has itself: front matter, title and plots."""
    text = card.split("\n---\n", 1)[-1].lstrip().split("\n", 1)[-1]
    return markdown("\n".join(line for line in text.split("\n") if not line.startswith("![")))


@login_required
@require_GET
def snapshot_state(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the freeze is, as a fragment; at its end the page is asked for anew."""
    found = _fetch(request, pk)
    response = render(request, "exports/_snapshot_state.html", {"snapshot": found})
    if found.state not in BUSY:
        response["HX-Refresh"] = "true"
    return response


@login_required
@require_GET
def download(request: HttpRequest, pk: int, form: str) -> HttpResponse | StreamingHttpResponse:
    """`form`: parquet (the directory as a zip; `?split=`: that split's file), jsonl or csv."""
    found = _fetch(request, pk)
    split = request.GET.get("split", "")
    if form not in downloads.FORMATS or (split and split not in SPLITS):
        raise Http404
    directory = Path(found.path or "/nowhere")
    if found.state != Snapshot.State.READY or not (directory / files.data_path("train")).exists():
        why = (
            "its files are gone" if found.state == Snapshot.State.READY else f"it is {found.state}"
        )
        messages.error(request, f"{found} cannot be downloaded: {why}.")
        return redirect("exports:snapshot", pk)
    name = f"{found.dataset.slug}-v{found.number}"
    if form == "parquet" and split:
        return FileResponse(
            (directory / files.data_path(split)).open("rb"),
            as_attachment=True,
            filename=f"{name}-{split}.parquet",
        )
    splits = (split,) if split else SPLITS
    if form == "parquet":
        pieces = downloads.archive(directory, name)
    elif form == "jsonl":
        pieces = downloads.jsonl(directory, splits)
    else:
        pieces = downloads.table(directory, found.dataset.kind, splits)
    ending, kind = downloads.FORMATS[form]
    response = StreamingHttpResponse(pieces, content_type=kind)
    shown = f"{name}-{split}" if split else name
    response["Content-Disposition"] = f'attachment; filename="{shown}.{ending}"'
    return response


@login_required
@require_GET
def plot(request: HttpRequest, pk: int, name: str) -> HttpResponse:
    """A plot of the card; who may download the rows may see it."""
    found = _fetch(request, pk)
    shown = plots.there(Path(found.path or "/nowhere"))
    if found.state != Snapshot.State.READY or name not in [each.file for each in shown]:
        raise Http404
    picture = (Path(found.path) / plots.FOLDER / name).read_bytes()
    return HttpResponse(picture, content_type="image/png")


def _said(request: HttpRequest, what: str, snapshot: Snapshot) -> None:
    path = reverse("exports:snapshot", args=[snapshot.pk])
    activity.note(request.user, what, snapshot, path=path)  # type: ignore[arg-type]


@login_required
@require_POST
def snapshot_about(request: HttpRequest, pk: int) -> HttpResponse:
    """Its tags and its note."""
    found = _fetch(request, pk)
    try:
        tags = signing.read_tags(request.POST.get("tags", ""))
        signing.describe(snapshot=found, tags=tags, note=request.POST.get("note", ""))
    except Refused as refusal:
        messages.error(request, f"Nothing was saved. {refusal}")
    else:
        _said(request, "version described", found)
        messages.success(request, f"Saved. The files of {found} are as they were.")
    return redirect("exports:snapshot", pk)


@login_required
@require_POST
def snapshot_sign(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    try:
        signing.sign(snapshot=found, user=request.user)  # type: ignore[arg-type]
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        _said(request, "version signed off", found)
        messages.success(request, f"{found} is signed off by you.")
    return redirect("exports:snapshot", pk)


@login_required
@require_POST
def snapshot_unsign(request: HttpRequest, pk: int) -> HttpResponse:
    found = _fetch(request, pk)
    role: Role = request.role  # type: ignore[attr-defined]
    try:
        signing.unsign(snapshot=found, user=request.user, role=role)  # type: ignore[arg-type]
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        _said(request, "sign-off taken back", found)
        messages.success(request, f"{found} is no longer signed off.")
    return redirect("exports:snapshot", pk)


@login_required
@require_POST
def snapshot_destroy(request: HttpRequest, pk: int) -> HttpResponse:
    """Delete the files of a withdrawn snapshot; `name` in the form says which, typed by hand."""
    rows = Snapshot.objects.select_related("dataset__workspace")
    found = access.fetch(request, rows, Role.OWNER, pk=pk)
    if request.POST.get("name", "").strip() != str(found):
        messages.error(request, f"Nothing was deleted: type {found} to delete its files.")
        return redirect("exports:snapshot", pk)
    try:
        withdrawal.destroy(snapshot=found)
        messages.success(request, f"The files of {found} are gone; its hash and counts stay.")
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("exports:snapshot", pk)


@login_required
@require_GET
def erasure_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """On an erasure's page: the snapshots that it withdrew."""
    rows = Erasure.objects.select_related("workspace")
    erasure = access.fetch(request, rows, Role.OWNER, pk=pk)
    withdrawal.sweep(erasure.workspace)
    found = [(each, withdrawal.successor(each)) for each in withdrawal.withdrawn_by(erasure)]
    return render(request, "exports/_erasure_panel.html", {"withdrawn": found})
