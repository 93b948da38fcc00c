"""What other pages show of training: runs under way, what learned from a snapshot, answers by a
model."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from annotation import access, activity
from annotation.errors import Refused
from annotation.models import Erasure, Project, Role, User
from exports import withdrawal
from exports.models import Snapshot
from training import answers, reports, results, runs, withdrawn
from training.answer_forms import ProjectAnswerForm
from training.models import Run


def person(request: HttpRequest) -> User:
    """Who is logged in."""
    assert isinstance(request.user, User)
    return request.user


def note(user: User, what: str, run: Run) -> None:
    """Into the workspace's activity."""
    activity.note(user, what, run, run.recipe, reverse("training:run", args=[run.pk]))


def gone(request: HttpRequest, url: str) -> HttpResponse:
    """Off to the page, whether htmx asked or a browser."""
    return HttpResponseClientRedirect(url) if request.headers.get("HX-Request") else redirect(url)


@login_required
@require_GET
def home_panel(request: HttpRequest, slug: str) -> HttpResponse:
    """Runs under way in the workspace, polled while there are any."""
    workspace = access.workspace(request, slug, Role.LEAD)
    under_way = workspace.runs.exclude(state__in=Run.ENDED).order_by("pk")
    context = {"runs": reports.lines(under_way), "slug": slug}
    return render(request, "training/_home_panel.html", context)


@login_required
@require_POST
def get_model(request: HttpRequest, slug: str) -> HttpResponse:
    """Make the small real model usable as a base."""
    workspace = access.workspace(request, slug, Role.LEAD)
    run = runs.get_model(workspace=workspace, user=person(request))
    if run.workspace_id != workspace.pk:
        return gone(request, reverse("training:runs", args=[slug]))
    note(person(request), "run started", run)
    return gone(request, reverse("training:run", args=[run.pk]))


@login_required
@require_GET
def snapshot_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """On a snapshot's page: the runs and models that learned from it."""
    rows = Snapshot.objects.select_related("dataset__workspace")
    snapshot = access.fetch(request, rows, Role.LEAD, pk=pk)
    context = {
        "touched": [
            each for each in withdrawn.touched([snapshot]) if each.run.recipe != "evaluate"
        ],
        "snapshot": snapshot,
        "evaluations": results.side_by_side(results.evaluations_on(snapshot)[:12]),
    }
    return render(request, "training/_touched_panel.html", context)


@login_required
@require_GET
def erasure_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """On an erasure's page: the runs and models that learned from what it withdrew."""
    rows = Erasure.objects.select_related("workspace")
    erasure = access.fetch(request, rows, Role.OWNER, pk=pk)
    withdrawal.sweep(erasure.workspace)
    context = {"touched": withdrawn.touched(withdrawal.withdrawn_by(erasure)), "erasure": erasure}
    return render(request, "training/_touched_panel.html", context)


@login_required
@require_GET
def project_panel(request: HttpRequest, pk: int) -> HttpResponse:
    """Answers by a model, on the project's page."""
    project = access.fetch(request, Project.objects.select_related("workspace"), Role.LEAD, pk=pk)
    return _project_panel(request, project, ProjectAnswerForm(workspace=project.workspace))


def _project_panel(
    request: HttpRequest, project: Project, form: ProjectAnswerForm, status: int = 200
) -> HttpResponse:
    prompts = project.prompts.live().filter(retired=None).exclude(messages=[])
    context = {"project": project, "form": form, "prompts": prompts.count()}
    return render(request, "training/_project_panel.html", context, status=status)


@login_required
@require_POST
def project_answer(request: HttpRequest, pk: int) -> HttpResponse:
    """Let a finished model answer the project's prompts."""
    project = access.fetch(request, Project.objects.select_related("workspace"), Role.LEAD, pk=pk)
    form = ProjectAnswerForm(request.POST, workspace=project.workspace)
    if not form.is_valid():
        return _project_panel(request, project, form, status=422)
    try:
        run = answers.queue_answers(project=project, user=person(request), **form.cleaned_data)
    except Refused as error:
        form.add_error(None, str(error))
        return _project_panel(request, project, form, status=422)
    note(person(request), "run started", run)
    return gone(request, reverse("training:run", args=[run.pk]))
