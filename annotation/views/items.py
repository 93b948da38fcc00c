"""What a lead does with an item on the list of flagged ones."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from annotation import access, activity, places
from annotation.models import Item, Role

GONE = "Somebody has taken it off the list already."


def _fetch(request: HttpRequest, pk: int) -> Item:
    rows = Item.objects.select_related("stage__project__workspace")
    return access.fetch(request, rows, Role.LEAD, pk=pk)


@login_required
@require_POST
def item_release(request: HttpRequest, pk: int) -> HttpResponse:
    """Put it back: open again to people who have not had it."""
    item = _fetch(request, pk)
    if places.put_back(item.pk):
        activity.note(request.user, "item put back", item.prompt, str(item.stage))  # type: ignore[arg-type]
        messages.success(request, "Back in the queue, for people who have not skipped it.")
    else:
        messages.info(request, GONE)
    return redirect("annotation:stage", item.stage_id)


@login_required
@require_POST
def item_unflag(request: HttpRequest, pk: int) -> HttpResponse:
    item = _fetch(request, pk)
    if places.unflag(item.pk):
        activity.note(request.user, "item unflagged", item.prompt, str(item.stage))  # type: ignore[arg-type]
        messages.success(request, "Off the list.")
    else:
        messages.info(request, GONE)
    return redirect("annotation:stage", item.stage_id)
