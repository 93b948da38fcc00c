"""One prompt's page: what it asks, its answers, and everything that ever happened to it."""

import json

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from annotation import access, comments, prompt_page, prompt_story, prompts, review_page
from annotation.forms import bulk
from annotation.models import Action, Prompt, Role, User
from annotation.text import row_number


@login_required
@never_cache
@require_GET
def prompt(request: HttpRequest, pk: int) -> HttpResponse:
    """Whoever has an item of it in hand sees what annotators see: others' work comes later."""
    rows = Prompt.objects.live().select_related("project__workspace", "parent", "batch")
    found = access.fetch(request, rows, Role.REVIEWER, pk=pk)
    user: User = request.user  # type: ignore[assignment]
    context = {
        "prompt": found,
        "project": found.project,
        "turns": prompt_page.conversation(found),
        "metadata": found.metadata and json.dumps(found.metadata, ensure_ascii=False, indent=2),
        "worked_on": prompts.is_worked_on(found),
        "held": review_page.holds_of(user, found),
    }
    if not context["held"]:
        answers = prompt_page.responses(found)
        context |= {
            "answers": answers,
            "rankings": prompt_page.rankings(found, answers),
            "continuations": prompt_page.continuations(found),
            "items": prompt_story.items(found),
            "story": prompt_story.story(found, answers),
            "comments": comments.of(found),
        }
    if request.role >= Role.LEAD and not found.is_erased:  # type: ignore[attr-defined]
        members = found.project.workspace.memberships.select_related("user")
        context |= {
            "acts": bulk.ON_RETIRED if found.retired else bulk.ACTS,
            "filters": {"show": "retired" if found.retired else ""},
            "queues": bulk.queues(found.project),
            "members": members.order_by("user__name"),
            "acted": _acted(request, found),
        }
    return render(request, "annotation/prompt.html", context)


def _acted(request: HttpRequest, prompt: Prompt) -> Action | None:
    """?acted= names what was done from here a moment ago."""
    number = row_number(request.GET.get("acted", ""))
    return None if number is None else prompt.project.actions.filter(pk=number).first()
