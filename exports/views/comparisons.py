"""Two versions beside each other: what came, what went, what changed, and why."""

from pathlib import Path
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from annotation import access
from annotation.errors import Refused
from annotation.models import Role
from annotation.text import row_number
from exports import comparisons, diff, diff_rows, rule_words, withdrawal
from exports.models import Snapshot

SHOWN, MORE = 5, 50  # rows of each kind on the page, and of the one kind that is asked for
TITLES = {"added": "Added", "removed": "Removed", "changed": "Changed"}


def _fetch(request: HttpRequest, pk: int) -> Snapshot:
    rows = Snapshot.objects.select_related("dataset__workspace", "created_by")
    return withdrawal.check(access.fetch(request, rows, Role.LEAD, pk=pk))


def _both(request: HttpRequest, pk: int, old: int) -> tuple[Snapshot, Snapshot]:
    """The older and the newer one; both are the reader's to see."""
    new = _fetch(request, pk)
    return _fetch(request, old), new


@login_required
@require_GET
def choose(request: HttpRequest, pk: int) -> HttpResponse:
    """`?with=`: the number of the other version's row; on to the page of the two."""
    found = _fetch(request, pk)
    other = row_number(request.GET.get("with", ""))
    if other is None:
        messages.error(request, "Choose the version to compare with.")
        return redirect("exports:snapshot", found.pk)
    return redirect("exports:compare", found.pk, other)


@login_required
@require_GET
def compare(request: HttpRequest, pk: int, old: int) -> HttpResponse:
    """What changed from `old` to `pk`; `?kind=` and `?why=` show more of one sort."""
    before, after = _both(request, pk, old)
    context: dict[str, Any] = {"old": before, "new": after, "dataset": after.dataset}
    try:
        found = comparisons.of(before, after)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("exports:snapshot", pk)
    kind = request.GET.get("kind", "")
    context |= {
        "busy": found.diff is None and not found.reason,
        "reason": found.reason,
        "rules": rule_words.changes(after.dataset.kind, before.selection, after.selection),
        "kind": kind if kind in diff.KINDS else "",
        "why": request.GET.get("why", ""),
    }
    if found.diff is not None:
        context |= _shown(before, after, found.diff, context["kind"], context["why"])
    return render(request, "exports/snapshot_compare.html", context)


def _shown(
    before: Snapshot, after: Snapshot, found: diff.Diff, kind: str, why: str
) -> dict[str, Any]:
    told = found.summary()
    parts = []
    for name in diff.KINDS:
        if kind and name != kind:
            continue
        count = MORE if kind else SHOWN
        rows = diff_rows.samples(Path(before.path), Path(after.path), found, name, why, count)
        parts.append({"kind": name, "title": TITLES[name], **told[name], "samples": rows})
    return {"parts": parts, "told": told, "same": found.same}


@login_required
@require_GET
def compare_rows(request: HttpRequest, pk: int, old: int) -> HttpResponse | StreamingHttpResponse:
    """The whole difference as JSONL; to the page of the two where it is not there yet."""
    before, after = _both(request, pk, old)
    try:
        found = comparisons.of(before, after)
    except Refused as refusal:
        messages.error(request, str(refusal))
        return redirect("exports:snapshot", pk)
    if found.diff is None:
        return redirect("exports:compare", pk, old)
    pieces = diff_rows.lines(Path(before.path), Path(after.path), found.diff)
    response = StreamingHttpResponse(pieces, content_type="application/x-ndjson")
    name = f"{after.dataset.slug}-v{before.number}-to-v{after.number}.jsonl"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
