"""A file's way in, on pages: upload, preview, start, watch, read the report. And all of it out."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from annotation import (
    access,
    activity,
    annotation_export,
    fetching,
    import_page,
    importing,
    mappings,
    refusals,
)
from annotation.columns import columns_of, is_table, suggested
from annotation.errors import Refused
from annotation.forms.imports import (
    AboutForm,
    FolderForm,
    HubForm,
    SkipForm,
    UploadForm,
)
from annotation.models import Import, Project, Role
from annotation.readers.tables import looks_like_row, numbered
from annotation.reports import in_order

FORMS = {"file": UploadForm, "folder": FolderForm, "hub": HubForm}


def import_of(request: HttpRequest, pk: int) -> Import:
    """The import, for a lead of its workspace."""
    rows = Import.objects.select_related("project__workspace", "created_by")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


@login_required
@require_http_methods(["GET", "POST"])
def imports(request: HttpRequest, pk: int) -> HttpResponse:
    """The imports of a project, and the next: an upload, a directory of the server, the Hub."""
    rows = Project.objects.select_related("workspace")
    project = access.fetch(request, rows, Role.LEAD, pk=pk)
    forms: dict[str, Any] = {name: form() for name, form in FORMS.items()}
    way = request.POST.get("way", "file")
    if request.method == "POST" and way in FORMS:
        form = forms[way] = FORMS[way](request.POST, request.FILES)
        if form.is_valid():
            try:
                import_row = _create(request, project, way, form.cleaned_data)
            except Refused as refusal:
                form.add_error(refusal.field if refusal.field in form.fields else way, str(refusal))
            else:
                return redirect("annotation:import", import_row.pk)
    context = {
        "project": project,
        **{f"{name}_form": form for name, form in forms.items()},
        "imports": project.imports.select_related("created_by").order_by("-pk")[:50],
        "limits": import_page.limits(),
        "roots": fetching.roots(),
        "folders": fetching.folders(),
        "hub_allowed": settings.ALLOW_HUB,
    }
    return render(request, "annotation/imports.html", context)


def _create(request: HttpRequest, project: Project, way: str, said: dict[str, Any]) -> Import:
    """The import, read by a saved mapping where no layout fits and one of those does."""
    user: Any = request.user
    if way == "hub":
        repo = said.pop("hub")
        import_row = fetching.from_hub(project=project, user=user, repo=repo, **said)
        fetching.send(import_row)
        return import_row
    if way == "folder":
        root = fetching.allowed(said.pop("folder"))
        import_row = fetching.directory(project=project, user=user, root=root, **said)
    else:
        import_row = importing.create(project=project, user=user, upload=said["file"])
    _offer(request, import_row)
    return import_row


def _offer(request: HttpRequest, import_row: Import) -> None:
    """A saved mapping that fits all columns is taken before a layout. Where no layout fits: one
    that fits some, else one by the columns' names; to be looked at, not yet done."""
    names = [column.name for column in columns_of(import_row)]
    row_first = is_table(import_row) and looks_like_row(names)
    by_number = numbered(len(names)) if row_first else []
    offered = mappings.offered(import_row.workspace, names, by_number)
    no_header = bool(offered) and offered[0].no_header
    if offered and (
        not import_row.layout
        or mappings.fits_all(offered[0].mapping, by_number if no_header else names)
    ):
        mapping = offered[0].mapping
        messages.info(request, f"Read by the saved mapping “{offered[0].name}”, which fits it.")
    else:
        mapping = {} if import_row.layout else suggested(columns_of(import_row))
        no_header = False
    if mapping:
        importing.configure(
            import_row=import_row,
            layout="",
            mapping=mapping,
            skip_bad=import_row.skip_bad,
            no_header=no_header,
        )


@login_required
@require_GET
def import_(request: HttpRequest, pk: int) -> HttpResponse:
    """The preview, the progress or the report, whichever it has come to."""
    return render(request, "annotation/import.html", import_page.context(import_of(request, pk)))


@login_required
@require_GET
def import_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """The moving part; when it has come to rest the whole page is loaded again."""
    import_row = import_of(request, pk)
    coming = fetching.is_coming(import_row) and not fetching.has_stopped(import_row)
    if import_row.state not in import_page.MOVING and not coming:
        return HttpResponse(headers={"HX-Refresh": "true"})
    pace = import_page.pace(import_row, request.GET)
    context = {"import": import_row, "coming": coming, "polled": True, **pace}
    return render(request, "annotation/_import_progress.html", context)


@login_required
@require_POST
def import_about(request: HttpRequest, pk: int) -> HttpResponse:
    """Its licence and homepage, also afterwards: cards of later snapshots say them."""
    import_row = import_of(request, pk)
    form = AboutForm(request.POST)
    if not form.is_valid():
        context = import_page.context(import_row, about=form)
        return render(request, "annotation/import.html", context)
    _describe(request, import_row, form)
    messages.success(request, "Saved: licence and homepage.")
    return redirect("annotation:import", pk)


@login_required
@require_POST
def import_start(request: HttpRequest, pk: int) -> HttpResponse:
    import_row = import_of(request, pk)
    form = SkipForm(request.POST)
    if not form.is_valid():
        context = import_page.context(import_row, about=form)
        return render(request, "annotation/import.html", context)
    skip_bad = form.cleaned_data["skip_bad"]
    try:
        if skip_bad != import_row.skip_bad:
            importing.configure(
                import_row=import_row,
                layout=import_row.layout,
                mapping=import_row.mapping,
                skip_bad=skip_bad,
            )
        importing.start(import_row)
        _describe(request, import_row, form)
        activity.note(request.user, "import started", import_row)  # type: ignore[arg-type]
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("annotation:import", pk)


def _describe(request: HttpRequest, import_row: Import, form: AboutForm) -> None:
    """Keep what the form says; a field that was not sent stays as it was."""
    said = {name: form.cleaned_data[name] for name in ("licence", "homepage")}
    sent = {name: text for name, text in said.items() if name in request.POST}
    fetching.describe(import_row=import_row, **sent)


@login_required
@require_POST
def import_fetch(request: HttpRequest, pk: int) -> HttpResponse:
    """Download the files again, where that failed or stopped."""
    import_row = import_of(request, pk)
    try:
        if not fetching.is_coming(import_row):
            raise Refused("This import has nothing to download.")
        fetching.send(import_row)
    except Refused as refusal:
        messages.error(request, str(refusal))
    return redirect("annotation:import", pk)


@login_required
@require_POST
def import_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    import_row = import_of(request, pk)
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
    import_row = import_of(request, pk)
    response = JsonResponse(
        in_order(import_row.report), json_dumps_params={"ensure_ascii": False, "indent": 1}
    )
    name = f"import-{import_row.pk}-report.json"
    response["Content-Disposition"] = content_disposition_header(True, name) or ""
    return response


@login_required
@require_GET
def import_refusals(request: HttpRequest, pk: int) -> HttpResponse:
    """The refused rows as a table for a spreadsheet."""
    import_row = import_of(request, pk)
    text = refusals.as_csv(import_row.report.get("refused", []))
    response = HttpResponse(text, content_type="text/csv; charset=utf-8")
    name = f"import-{import_row.pk}-refused.csv"
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
