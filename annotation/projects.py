"""Setting a project up: the only writer of projects, guidelines, stages and assigned seats."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from annotation import rubric
from annotation.content import checked_text
from annotation.errors import Refused
from annotation.models import GuidelineVersion, Project, Seat, Stage, User, Workspace
from annotation.ordering import overlap_changed
from annotation.people import with_free_slug
from annotation.reviewing import share_changed

# What may be changed in a stage after it is made. The kind may not, nor what is rated: submissions
# hang on it. The rubric has an act of its own.
STAGE_FIELDS = {
    "name",
    "instructions",
    "overlap",
    "order",
    "source",
    "source_name",
    "edit_prompt",
    "max_answers",
    "tags",
    "better_answer",
    "reopen",
    "review_share",
    "gold_every",
    "takes_all",
    "lease_minutes",
    "skips_to_close",
}
MAX_TAGS, MAX_TAG = 12, 40  # they stand in one row below the text; each is a word or two
# What a new stage begins with: why an answer was corrected, what is wrong with a ranked one.
TAGS = {
    Stage.Kind.CORRECT.value: ["Factual error", "Incomplete", "Wording", "Format", "Unsafe"],
    Stage.Kind.RANK.value: ["Wrong", "Incomplete", "Off topic", "Too long", "Unsafe"],
}


@transaction.atomic
def create_project(
    *,
    workspace: Workspace,
    name: str,
    guidelines: str = "",
    author: User | None = None,
    slug: str | None = None,
    description: str = "",
) -> Project:
    """A project, with its first guidelines if there is text. Refused if the slug is taken."""

    def make(free: str) -> Project:
        return workspace.projects.create(name=name, slug=free, description=description)

    project = with_free_slug(make, workspace.projects.all(), name, slug, "project", length=60)
    if project is None:
        raise Refused(f"A project with the short name “{slug}” is here already: choose another.")
    if guidelines.strip():
        add_guidelines(project=project, text=guidelines, author=author)
    return project


@transaction.atomic
def update_project(
    *, project: Project, name: str, description: str, confirm_guidelines: bool | None = None
) -> None:
    """`confirm_guidelines`: nobody gets a next item before they confirmed them; None: as it was."""
    project.name, project.description = name, description
    if confirm_guidelines is not None:
        project.confirm_guidelines = confirm_guidelines
    project.save(update_fields=["name", "description", "confirm_guidelines"])


@transaction.atomic
def add_guidelines(*, project: Project, text: str, author: User | None) -> GuidelineVersion:
    """The next version; the same text again makes none. Earlier submissions keep theirs."""
    text = text.strip()
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)  # one number at a time
    newest = project.guidelines
    if newest is not None and newest.text == text:
        return newest
    number = newest.number + 1 if newest else 1
    return GuidelineVersion.objects.create(project=project, number=number, text=text, author=author)


@transaction.atomic
def archive(*, project: Project) -> None:
    """Out of the lists and of every queue; nothing is deleted. `restore` brings it back."""
    project.archived = timezone.now()
    project.save(update_fields=["archived"])


@transaction.atomic
def restore(*, project: Project) -> None:
    project.archived = None
    project.save(update_fields=["archived"])


@transaction.atomic
def create_stage(
    *,
    project: Project,
    kind: str,
    name: str,
    instructions: str = "",
    overlap: int = 1,
    people: Iterable[User] | None = None,
    source: str = Stage.Source.LATEST,
    source_name: str = "",
    edit_prompt: bool = False,
    order: str = Stage.Order.ARRIVAL,
    max_answers: int = 9,
    tags: Sequence[str] | None = None,
    better_answer: bool = True,
    rate_answers: bool = True,
    reopen: bool = True,
    review_share: int = 0,
    gold_every: int = 0,
    takes_all: bool = True,
    questions: Sequence[Mapping[str, Any]] = (),
    lease_minutes: int = 60,
    skips_to_close: int = 3,
    state: str = Stage.State.OPEN,
) -> Stage:
    """A stage at the end of the project's list. `people` None: everyone in the workspace; `tags`
    None: the usual ones of its kind; `questions`: its rubric, as in `set_rubric`.

    Raises Refused for people from elsewhere and for a source without its name."""
    last = project.stages.aggregate(last=Max("position"))["last"]
    stage = Stage.objects.create(
        project=project,
        kind=kind,
        name=name,
        instructions=instructions,
        overlap=overlap,
        position=0 if last is None else last + 1,
        state=state,
        order=order,
        source=source,
        source_name=source_name,
        edit_prompt=edit_prompt,
        max_answers=max_answers,
        tags=list(TAGS.get(kind, []) if tags is None else tags),
        better_answer=better_answer,
        rate_answers=rate_answers,
        reopen=reopen,
        review_share=review_share,
        gold_every=gold_every,
        takes_all=takes_all,
        lease_minutes=lease_minutes,
        skips_to_close=skips_to_close,
    )
    _check(stage)
    stage.save(update_fields=["tags"])
    assign(stage=stage, people=people)
    if questions:
        set_rubric(stage=stage, questions=questions)
    return stage


def update_stage(*, stage: Stage, **changes: Any) -> None:
    """Changes the named fields (STAGE_FIELDS, or `people` as in create_stage).

    A new overlap or review share holds for what is there, too."""
    share = Stage.objects.values_list("review_share", flat=True).get(pk=stage.pk)
    _update_stage(stage, changes)
    if stage.review_share != share:
        share_changed(stage)


@transaction.atomic
def _update_stage(stage: Stage, changes: dict[str, Any]) -> None:
    if "people" in changes:
        assign(stage=stage, people=changes.pop("people"))
    for field, value in changes.items():
        if field not in STAGE_FIELDS:
            raise Refused(f"A stage's {field} cannot be changed.")
        setattr(stage, field, value)
    _check(stage)
    before = Stage.objects.get(pk=stage.pk)
    stage.save(update_fields=list(changes))
    if stage.overlap != before.overlap:
        overlap_changed(stage)


def _check(stage: Stage) -> None:
    if stage.source == Stage.Source.ORIGIN and not stage.source_name.strip():
        raise Refused(
            "Say whose answers are to be corrected: the author's or the model's name.",
            field="source_name",
        )
    stage.tags = checked_tags(stage.tags)


def checked_tags(tags: Iterable[str]) -> list[str]:
    """Trimmed, without empty ones. Pure. Refused: too many, too long, two alike in any case."""
    try:
        clean = [tag for each in tags if (tag := checked_text(each, "tag", True).strip())]
    except Refused as refused:
        raise Refused(str(refused), field="tags") from None
    if len(clean) > MAX_TAGS:
        raise Refused(f"There are {len(clean)} tags; at most {MAX_TAGS} fit.", field="tags")
    if long := [tag for tag in clean if len(tag) > MAX_TAG]:
        raise Refused(f"A tag has at most {MAX_TAG} characters: “{long[0][:60]}”.", field="tags")
    folded = [tag.casefold() for tag in clean]
    if twice := [tag for tag in clean if folded.count(tag.casefold()) > 1]:
        raise Refused(f"The tag “{twice[0]}” is there twice.", field="tags")
    return clean


@transaction.atomic
def set_rubric(*, stage: Stage, questions: Sequence[Mapping[str, Any]], seen: str = "") -> None:
    """The stage's questions from now on, in this order (rubric.checked_rubric says how).

    An added one makes older submissions incomplete for itself only; answers to a removed one are
    kept. `seen`: the version of the rubric that the edit began with; Refused if it is another
    now."""
    now = Stage.objects.select_for_update(no_key=True).get(pk=stage.pk).rubric
    if seen and seen != rubric.version(now):
        raise Refused(
            "Somebody else has changed the rubric meanwhile. What you typed is kept below; "
            "compare it with the rubric in another tab, then save again to put yours in its place."
        )
    after = rubric.checked_rubric(questions, now)
    for place, question in enumerate(rubric.in_force(after)):
        if question["about"] == "answer" and not stage.shows_answers:
            raise Refused("This stage shows no answers to ask about.", field=f"{place}-about")
    stage.rubric = after
    stage.save(update_fields=["rubric"])


@transaction.atomic
def set_state(*, stage: Stage, state: str) -> None:
    """Open or pause. A stage of imported work stays as it is: nobody works in it. A rate stage
    opens when it has something to ask."""
    asks = stage.kind != Stage.Kind.RATE or rubric.in_force(stage.rubric)
    if state == Stage.State.OPEN and not asks:
        raise Refused(f"{stage} has no question yet: write its rubric first.")
    rows = Stage.objects.filter(pk=stage.pk).exclude(state=Stage.State.IMPORTED)
    if not rows.update(state=state):
        raise Refused(f"{stage} holds imported work: it cannot be opened or paused.")
    stage.state = state


@transaction.atomic
def assign(*, stage: Stage, people: Iterable[User] | None) -> None:
    """Only these people work here; None: everyone in the workspace.

    Raises Refused if one of them is not an active member."""
    stage.open_to_all = people is None
    stage.save(update_fields=["open_to_all"])
    chosen = list(people or [])
    members = stage.workspace.memberships.filter(is_active=True)
    known = set(members.values_list("user_id", flat=True))
    for person in chosen:
        if person.pk not in known:
            raise Refused(f"{person} is not in this workspace: invite them first.")
    stage.seats.exclude(user__in=chosen).update(assigned=False)
    for person in chosen:
        Seat.objects.update_or_create(stage=stage, user=person, defaults={"assigned": True})


@transaction.atomic
def hand_seats_over(*, workspace: Workspace, user: User, to: User) -> None:
    """`to` works wherever `user` was chosen to work. Seats keep what was done from them."""
    seats = Seat.objects.filter(stage__project__workspace=workspace, user=user, assigned=True)
    for stage in Stage.objects.filter(seats__in=seats, open_to_all=False):
        Seat.objects.update_or_create(stage=stage, user=to, defaults={"assigned": True})
