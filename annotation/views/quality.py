"""A stage's quality: what people agree on, how each of them stands, and its gold."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import access, measuring, quality_marks
from annotation import quality_page as reads
from annotation.models import Measurement, Role, Stage, User
from annotation.quality_data import MOST, Rater
from annotation.text import row_number

NOT_YOURS = "Leads see how each person works; everybody sees their own."


def _fetch(request: HttpRequest, pk: int, at_least: Role) -> Stage:
    rows = Stage.objects.select_related("project__workspace")
    return access.fetch(request, rows, at_least, pk=pk)


def _frame(stage: Stage, found: Measurement) -> dict[str, Any]:
    return {
        "stage": stage,
        "project": stage.project,
        "measured": found,
        "busy": found.state in measuring.BUSY,
        "result": found.result,
        "rules": quality_marks.RULES,
        "few": quality_marks.FEW,
    }


@login_required
@never_cache
@require_GET
def quality(request: HttpRequest, pk: int) -> HttpResponse:
    """?level= and ?prompt= page on among the items that people disagree on; ?waiting=1 shows
    only those that a lead has to decide."""
    stage = _fetch(request, pk, Role.REVIEWER)
    context = _frame(stage, reads.current(stage))
    level, prompt = (row_number(request.GET.get(part, "")) for part in ("level", "prompt"))
    after = (level, prompt) if level is not None and prompt is not None else None
    waiting = request.GET.get("waiting") == "1"
    reader: User = request.user  # type: ignore[assignment]
    items, more = reads.disputed(stage, reader, after, waiting)
    context |= {"items": items, "more": more, "later": after is not None}
    context |= {"waiting": waiting, "most": MOST}
    if context["result"]:
        context["questions"] = reads.table(context["result"])
        context["headline"] = reads.headline(context["questions"])
        if request.role >= Role.LEAD:  # type: ignore[attr-defined]  # how people work is private
            context["people"] = reads.people(context["result"])
    return render(request, "annotation/quality.html", context)


@login_required
@require_POST
def quality_measure(request: HttpRequest, pk: int) -> HttpResponse:
    stage = _fetch(request, pk, Role.REVIEWER)
    found = reads.current(stage, force=True)
    if found.state in measuring.BUSY:
        messages.info(request, "It is being measured; the page shows it when it is done.")
    elif found.state == "failed":
        messages.error(request, found.reason)
    else:
        messages.success(request, "Measured again.")
    return redirect("annotation:quality", pk)


@login_required
@never_cache
@require_GET
def person(request: HttpRequest, pk: int, user: int) -> HttpResponse:
    """One's own, or for a lead anybody's."""
    stage = _fetch(request, pk, Role.ANNOTATOR)
    own = user == request.user.pk
    if not own and request.role < Role.LEAD:  # type: ignore[attr-defined]
        raise PermissionDenied(NOT_YOURS)
    return _person(request, stage, user, own)


@login_required
@never_cache
@require_GET
def rater(request: HttpRequest, pk: int) -> HttpResponse:
    """?rater= names somebody whose work was imported."""
    stage = _fetch(request, pk, Role.LEAD)
    return _person(request, stage, request.GET.get("rater", ""), own=False)


def _person(request: HttpRequest, stage: Stage, who: Rater, own: bool) -> HttpResponse:
    context = _frame(stage, reads.current(stage))
    found = reads.person(context["result"], who) if context["result"] else None
    if found is None and not own:
        raise Http404
    lead = request.role >= Role.LEAD  # type: ignore[attr-defined]
    context |= {"person": found, "own": own, "who": who, "lead": lead}
    if lead and not own and isinstance(who, int):
        context["member"] = stage.project.workspace.memberships.filter(user=who).first()
    if found and lead:  # what others said is theirs to see who may review
        context["items"] = reads.standing_alone(stage, who, request.user)  # type: ignore[arg-type]
        context["questions"] = context["result"]["questions"]
    return render(request, "annotation/person.html", context)


@login_required
@never_cache
@require_GET
def gold(request: HttpRequest, pk: int) -> HttpResponse:
    """?after= pages on."""
    stage = _fetch(request, pk, Role.LEAD)
    rows, more = reads.gold_rows(stage, row_number(request.GET.get("after", "")))
    context = {"stage": stage, "project": stage.project, "rows": rows, "more": more}
    return render(request, "annotation/gold.html", context)
