"""The rubric of a stage, edited by a lead: questions, their order, how annotators see them."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from annotation import access, activity, projects, ratings
from annotation.errors import Refused
from annotation.forms import rubrics as form
from annotation.models import Role, Stage, Submission
from annotation.rubric import in_force, version


@login_required
@require_http_methods(["GET", "POST"])
def rubric_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """One form; its buttons that save nothing (add, move, remove, preview) give it back changed."""
    stages = Stage.objects.select_related("project__workspace")
    stage = access.fetch(request, stages, Role.LEAD, pk=pk)
    if request.method == "GET":
        rows, seen = [*map(form.row_of, in_force(stage.rubric))], version(stage.rubric)
        if rows:
            return _page(request, stage, rows, seen)
        return _page(request, stage, [form.blank(stage)], seen, focus="0-title")
    rows, seen = form.rows_from(request.POST), request.POST.get("seen", "")
    act = request.POST.get("act", "save")
    if act == "preview":
        context = {"stage": stage, "preview": form.preview(stage, rows)}
        return render(request, "annotation/_rubric_preview.html", context)
    if act != "save":
        rows, focus, said = form.rearranged(rows, act, stage)
        return _page(request, stage, rows, seen, focus=focus, said=said)
    rows = form.typed(rows)
    try:
        projects.set_rubric(stage=stage, questions=[*map(form.question_of, rows)], seen=seen)
    except Refused as refused:
        stage.refresh_from_db(fields=["rubric"])
        problem = form.refuse(rows, refused)
        return _page(request, stage, rows, version(stage.rubric), problem=problem)
    asked = ", ".join(question["title"] for question in in_force(stage.rubric))
    activity.note(request.user, "rubric edited", stage, asked)  # type: ignore[arg-type]
    waits = stage.kind == Stage.Kind.RATE and stage.state == Stage.State.PAUSED and rows
    more = " The stage is paused: open it when you are ready." if waits else ""
    messages.success(request, f"The rubric is saved.{more}")
    return redirect("annotation:stage", pk)


def _page(
    request: HttpRequest, stage: Stage, rows: list[form.Row], seen: str, **notices: Any
) -> HttpResponse:
    known = {question["key"]: question for question in stage.rubric}
    asked = {row["key"] for row in rows}
    gone = [question for key, question in known.items() if key not in asked]
    counts = ratings.kept(stage, [question["key"] for question in gone])
    rows = [{**row, "stored": known.get(row["key"])} for row in rows]
    context = {
        "stage": stage,
        "project": stage.project,
        "rows": rows,
        "seen": seen,
        "gone": [(question, counts[question["key"]]) for question in gone],
        "types": form.TYPES,
        "abouts": form.ABOUT if stage.shows_answers else form.ABOUT[:1],
        "submitted": Submission.objects.filter(
            stage=stage, state=Submission.State.SUBMITTED
        ).count(),
        "preview": form.preview(stage, rows),
        **notices,
    }
    name = "_rubric" if request.htmx else "rubric_edit"  # type: ignore[attr-defined]
    return render(request, f"annotation/{name}.html", context)
