"""How an import's file is read: by a layout, by its columns, by a mapping with a name."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from annotation import access, import_page, importing, mappings
from annotation.columns import columns_of, suggested
from annotation.errors import Refused
from annotation.forms.imports import MAPPING, SAVED, ColumnsForm, LayoutForm, NameForm
from annotation.models import ColumnMapping, Import, Role
from annotation.views.imports import import_of


@login_required
@require_POST
def import_change(request: HttpRequest, pk: int) -> HttpResponse:
    """Read the file in another way: by what was chosen above, or column by column."""
    import_row = import_of(request, pk)
    was, by_columns = import_row.state, "by_columns" in request.POST
    no_header = import_row.no_header
    layout_form: LayoutForm | None = None
    columns_form: ColumnsForm | None = None
    problem = ""
    try:
        if by_columns:
            columns_form = _columns_form(request, import_row)
            layout, mapping = "", _chosen(columns_form)
        else:
            saved = list(ColumnMapping.objects.filter(workspace=import_row.workspace))
            layout_form = LayoutForm(request.POST, saved=saved, mapped=True)
            layout, mapping, no_header = _layout(import_row, layout_form)
        importing.configure(
            import_row=import_row,
            layout=layout,
            mapping=mapping,
            skip_bad=import_row.skip_bad,
            no_header=no_header,
        )
    except Refused as refusal:
        if import_row.state not in import_page.OPEN:
            messages.error(request, str(refusal))
            return redirect("annotation:import", pk)
        problem = str(refusal)
    if not request.htmx:  # type: ignore[attr-defined]
        if not problem:
            return redirect("annotation:import", pk)
        forms = {"layout_form": layout_form, "columns_form": columns_form, "problem": problem}
        return render(request, "annotation/import.html", import_page.context(import_row, **forms))
    if was == Import.State.FAILED and not problem:
        return HttpResponse(headers={"HX-Refresh": "true"})
    part = import_page.reading(import_row, columns_form=columns_form, problem=problem)
    return render(request, "annotation/_import_look.html", {**part, "by_columns": by_columns})


def _columns_form(request: HttpRequest, import_row: Import) -> ColumnsForm:
    """Raises Refused for a file that cannot be read."""
    return ColumnsForm(request.POST, columns=columns_of(import_row))


def _chosen(form: ColumnsForm) -> dict[str, str]:
    """The mapping that was chosen. Raises Refused for one that is none."""
    if not form.is_valid():
        raise Refused("A column is something that no column can be.")
    mapping = form.mapping()
    if not mapping:
        raise Refused("Say which column holds the prompt, or chosen and rejected dialogues.")
    return mapping


def _layout(import_row: Import, form: LayoutForm) -> tuple[str, dict[str, str], bool]:
    """(layout, mapping, whether the first line is a row) of the choice above the columns. Raises
    Refused."""
    if not form.is_valid():
        raise Refused("There is no such layout and no such saved mapping.", field="layout")
    choice = form.cleaned_data["layout"]
    if choice == MAPPING:
        mapping = import_row.mapping or suggested(columns_of(import_row))
        return "", mapping, import_row.no_header
    if choice.startswith(SAVED):
        rows = ColumnMapping.objects.filter(workspace=import_row.workspace)
        row = rows.get(pk=choice.removeprefix(SAVED))
        return "", row.mapping, row.no_header
    return choice, {}, import_row.no_header


@login_required
@require_POST
def import_header(request: HttpRequest, pk: int) -> HttpResponse:
    """The first line of the table is a row, or names its columns: all of the page changes."""
    import_row = import_of(request, pk)
    try:
        importing.say_header(import_row=import_row, no_header="no_header" in request.POST)
    except Refused as refusal:
        messages.error(request, str(refusal))
    if request.htmx:  # type: ignore[attr-defined]
        return HttpResponse(headers={"HX-Refresh": "true"})
    return redirect("annotation:import", pk)


@login_required
@require_POST
def mapping_keep(request: HttpRequest, pk: int) -> HttpResponse:
    """Save the columns as chosen under a name, and read the file by them."""
    import_row = import_of(request, pk)
    name_form, columns_form, problem = NameForm(request.POST), None, ""
    if import_row.state not in import_page.OPEN or not import_row.path:
        messages.error(request, "This import has started: its columns are not chosen any more.")
        return redirect("annotation:import", pk)
    try:
        columns_form = _columns_form(request, import_row)
        mapping = _chosen(columns_form)
        if name_form.is_valid():
            user: Any = request.user
            row = mappings.keep(
                workspace=import_row.workspace,
                name=name_form.cleaned_data["mapping_name"],
                mapping=mapping,
                user=user,
                no_header=import_row.no_header,
            )
            importing.configure(
                import_row=import_row, layout="", mapping=mapping, skip_bad=import_row.skip_bad
            )
            messages.success(request, f"Saved as “{row.name}”.")
            return redirect("annotation:import", pk)
    except Refused as refusal:
        if refusal.field and name_form.is_bound:
            name_form.is_valid()
            name_form.add_error("mapping_name", str(refusal))
        else:
            problem = str(refusal)
    forms = {"columns_form": columns_form, "name_form": name_form, "problem": problem}
    return render(request, "annotation/import.html", import_page.context(import_row, **forms))


@login_required
@require_POST
def mapping_remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget a saved mapping; imports that were read by it stay as they are."""
    rows = ColumnMapping.objects.select_related("workspace")
    row = access.fetch(request, rows, Role.LEAD, pk=pk)
    mappings.remove(row)
    messages.success(request, f"The mapping “{row.name}” is deleted.")
    back = request.POST.get("import", "")
    if back.isascii() and back.isdecimal() and len(back) < 18:
        return redirect("annotation:import", int(back))
    return redirect("annotation:workspace", row.workspace.slug)
