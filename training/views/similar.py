"""Similar prompts, on a prompt's page."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from annotation import access, review_page
from annotation.errors import Refused
from annotation.models import Prompt, Role, User
from training import embedding, similar


def _fetch(request: HttpRequest, pk: int, at_least: Role) -> Prompt:
    rows = Prompt.objects.live().select_related("project__workspace")
    return access.fetch(request, rows, at_least, pk=pk)


def _panel(request: HttpRequest, prompt: Prompt, status: int = 200) -> HttpResponse:
    """Who has an item of it in hand does not see how others answered a prompt like it."""
    assert isinstance(request.user, User)
    hidden = prompt.is_erased or not prompt.question.strip()
    if hidden or review_page.holds_of(request.user, prompt):
        return HttpResponse()
    context = {"prompt": prompt, "panel": similar.panel(prompt)}
    return render(request, "training/_similar_panel.html", context, status=status)


@login_required
@never_cache
@require_GET
def similar_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """The nearest prompts; asks again while they are being compared."""
    return _panel(request, _fetch(request, pk, Role.REVIEWER))


@login_required
@require_POST
def similar_start(request: HttpRequest, pk: int) -> HttpResponse:
    """Compare the project's prompts, or those that are new."""
    prompt = _fetch(request, pk, Role.LEAD)
    try:
        embedding.ask(prompt.project)
    except Refused:  # the panel says what is missing
        return _panel(request, prompt, status=422)
    return _panel(request, prompt)


@login_required
@require_POST
def similar_stop(request: HttpRequest, pk: int) -> HttpResponse:
    """Stop comparing; what is done is kept."""
    prompt = _fetch(request, pk, Role.LEAD)
    embedding.stop(prompt.project)
    return _panel(request, prompt)
