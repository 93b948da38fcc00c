"""A file's way in, on pages: upload, preview, start, watch, read the report. And all of it out."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import (
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import access, activity, annotation_export, importing
from annotation.errors import Refused
from annotation.forms.imports import LayoutForm, MappingForm, UploadForm, initial_of
from annotation.layouts import LAYOUTS
from annotation.models import Import, Project, Role
from annotation.reports import in_order

OPEN = (Import.State.PREVIEWED, Import.State.FAILED)


def _import(request: HttpRequest, pk: int) -> Import:
    rows = Import.objects.select_related("project__workspace", "created_by")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


@login_required
@require_http_methods(["GET", "POST"])
def imports(request: HttpRequest, pk: int) -> HttpResponse:
    """The imports of a project, and the upload of the next."""
    rows = Project.objects.select_related("workspace")
    project = access.fetch(request, rows, Role.LEAD, pk=pk)
    sent = request.method == "POST"
    form = UploadForm(request.POST, request.FILES) if sent else UploadForm()
    mapping = MappingForm(request.POST) if sent else MappingForm()
    if sent and form.is_valid() and mapping.is_valid():
        try:
            import_row = importing.create(
                project=project,
                user=request.user,  # type: ignore[arg-type]
                upload=form.cleaned_data["file"],
                layout=form.cleaned_data["layout"],
                mapping=mapping.mapping(),
                skip_bad=form.cleaned_data["skip_bad"],
            )
        except Refused as refusal:
            form.add_error("file", str(refusal))
        else:
            return redirect("annotation:import", import_row.pk)
    context = {
        "project": project,
        "form": form,
        "mapping": mapping,
        "imports": project.imports.select_related("created_by").order_by("-pk")[:50],
    }
    return render(request, "annotation/imports.html", context)


@login_required
@require_GET
def import_(request: HttpRequest, pk: int) -> HttpResponse:
    """The preview, the progress or the report, whichever it has come to."""
    import_row = _import(request, pk)
    return render(request, "annotation/import.html", _context(import_row))


def _context(
    import_row: Import, form: LayoutForm | None = None, mapping: MappingForm | None = None
) -> dict[str, Any]:
    context: dict[str, Any] = {
        "import": import_row,
        "project": import_row.project,
        "layout_title": _title(import_row),
        "failed": import_row.state == Import.State.FAILED,
        "running": import_row.state in (Import.State.QUEUED, Import.State.RUNNING),
    }
    if import_row.state in OPEN and import_row.path:
        found = importing.preview(import_row)
        context |= {
            "preview": found,
            "shown": [_shown(line, record) for line, rows in found.shown for record in rows][:20],
            "start": _start(import_row, found),
            "form": form
            or LayoutForm(
                initial={
                    "layout": "" if import_row.mapping else import_row.layout,
                    "skip_bad": import_row.skip_bad,
                }
            ),
            "mapping": mapping
            or MappingForm(columns=found.columns, initial=initial_of(import_row.mapping)),
        }
    return context


def _title(import_row: Import) -> str:
    if import_row.mapping:
        pairs = (f"{name} = {column}" for name, column in import_row.mapping.items())
        return f"Columns as mapped: {', '.join(pairs)}"
    return LAYOUTS[import_row.layout].title if import_row.layout in LAYOUTS else import_row.layout


def _start(import_row: Import, found: importing.Preview) -> dict[str, Any]:
    """The button that starts it: its words, and whether it skips the bad rows that were seen.

    A count only where the whole file was looked at."""
    skips = bool(found.refused) and not import_row.skip_bad
    if import_row.state == Import.State.FAILED and not skips:
        words = "Try again"
    elif skips:
        words = f"Import the {found.good:,} good rows" if found.complete else "Import the good rows"
    elif found.complete:
        words = f"Import {found.good:,} {'row' if found.good == 1 else 'rows'}"
    else:
        words = "Import"
    possible = bool(import_row.layout) and not found.error and found.good > 0
    return {"possible": possible, "words": words, "skips": skips}


def _shown(line: int | None, record: importing.Record) -> dict[str, Any]:
    """A record for the page: its rankings in words, the best answer first, = for a tie."""
    orders = [
        {
            "rater": ranking.rater,
            "words": " > ".join(
                " = ".join(str(place + 1) for place in group) for group in ranking.order
            ),
        }
        for ranking in record.rankings
    ]
    return {
        "line": line,
        "external_id": record.external_id,
        "system": record.system,
        "context": record.context,
        "messages": record.messages,
        "answers": record.answers,
        "question": record.messages[-1].get("content") or "" if record.messages else "",
        "orders": orders,
    }


@login_required
@require_GET
def import_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The moving part; when it has come to rest the whole page is loaded again."""
    import_row = _import(request, pk)
    if import_row.state not in (Import.State.QUEUED, Import.State.RUNNING):
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "annotation/_import_progress.html", {"import": import_row})


@login_required
@require_POST
def import_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Read the file in another way."""
    import_row = _import(request, pk)
    form, mapping = LayoutForm(request.POST), MappingForm(request.POST)
    if form.is_valid() and mapping.is_valid():
        try:
            importing.configure(
                import_row=import_row,
                layout=form.cleaned_data["layout"],
                mapping=mapping.mapping(),
                skip_bad=form.cleaned_data["skip_bad"],
            )
        except Refused as refusal:
            if import_row.state not in OPEN:
                messages.error(request, str(refusal))
                return redirect("annotation:import", pk)
            form.add_error(None, str(refusal))
        else:
            return redirect("annotation:import", pk)
    return render(request, "annotation/import.html", _context(import_row, form, mapping))


@login_required
@require_POST
def import_start(request: HttpRequest, pk: int) -> HttpResponse:
    import_row = _import(request, pk)
    try:
        if request.POST.get("skip_bad") and not import_row.skip_bad:
            importing.configure(
                import_row=import_row,
                layout=import_row.layout,
                mapping=import_row.mapping,
                skip_bad=True,
            )
        importing.start(import_row)
        activity.note(request.user, "import started", import_row)  # type: ignore[arg-type]
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("annotation:import", pk)


@login_required
@require_POST
def import_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    import_row = _import(request, pk)
    try:
        importing.cancel(import_row)
    except Refused as refusal:
        messages.error(request, str(refusal))
    else:
        activity.note(request.user, "import cancelled", import_row)  # type: ignore[arg-type]
        messages.success(request, "Cancelled. Nothing of the file was kept.")
    return redirect("annotation:imports", import_row.project_id)


@login_required
@require_GET
def import_report(request: HttpRequest, pk: int) -> HttpResponse:
    """The report as a file."""
    import_row = _import(request, pk)
    response = JsonResponse(
        in_order(import_row.report), json_dumps_params={"ensure_ascii": False, "indent": 1}
    )
    name = f"import-{import_row.pk}-report.json"
    response["Content-Disposition"] = content_disposition_header(True, name) or ""
    return response


@login_required
@require_GET
def export(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """All annotations of the project as JSONL."""
    rows = Project.objects.select_related("workspace")
    project = access.fetch(request, rows, Role.LEAD, pk=pk)
    response = StreamingHttpResponse(
        annotation_export.lines(project), content_type="application/x-ndjson"
    )
    name = f"{slugify(project.slug) or 'project'}-annotations.jsonl"
    response["Content-Disposition"] = content_disposition_header(True, name) or ""
    return response
