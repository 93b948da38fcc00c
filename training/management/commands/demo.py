"""`manage.py demo`: a workspace with something on every page. A second call changes nothing."""

from argparse import ArgumentParser
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from annotation import importing, people, projects, queue
from annotation.models import Membership, Project, Role, Stage, User, Workspace
from exports import datasets, previews, snapshots
from exports.models import Dataset
from training import runs
from training.demo import judgement, story
from training.demo.content import TOPICS, Topic
from training.models import Run

SLUG = "demo"
# Small datasets need larger shares than the usual five per cent, or test holds nothing.
SHARES = {"test": 15, "validation": 15}
DATASETS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("Support SFT", "sft", {"projects": ["support-desk"], "answers": ["written", "corrected"]}),
    (
        "Support preferences",
        "preference",
        {"projects": ["support-desk"], "corrections_as_pairs": True},
    ),
    ("Tutor prompts", "prompts", {"projects": ["science-tutor"]}),
)
# Four passes over the few rows: four minutes of processor time, and the loss falls visibly.
SFT = {
    "epochs": 4.0,
    "learning_rate": 3e-4,
    "max_length": 384,
    "batch_size": 2,
    "eval_steps": 12,
    "save_steps": 12,
    "eval_rows": 8,
    "sample_tokens": 48,
}


class Command(BaseCommand):
    help = "Load the demo: a workspace with projects, half-done stages, datasets and a run."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--no-train", action="store_true", help="do not queue the base model and the small run"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError(
                "The demo's people share a password that everybody knows, and Olga is a "
                "superuser: it is not loaded where ANNOTUNE_PRODUCTION is set."
            )
        did = [load_people_and_work(), load_datasets()]
        if not options["no_train"]:
            did.append(load_runs())
        if any(did):
            self.stdout.write("The demo is loaded.\n")
        else:
            self.stdout.write("The demo is here already: nothing was changed.\n")
        self.stdout.write(table())


def table() -> str:
    """Who can log in, and where."""
    about = {
        "Ana": "write, correct, rate and rank (Bea and Caio too)",
        "Rui": "reviews what the others wrote",
        "Lee": "imports, curates, freezes, trains",
        "Olga": "everything, and the admin",
    }
    lines = [f"  {settings.BASE_URL}", ""]
    lines.append(f"  {'e-mail':<19}{'role':<11}to see")
    for name, role in story.PEOPLE.items():
        lines.append(f"  {address(name):<19}{role.label:<11}{about.get(name, '')}".rstrip())
    return "\n".join([*lines, "", f"  Password of all: {story.PASSWORD}", ""])


def address(name: str) -> str:
    return f"{name.lower()}@example.org"


@transaction.atomic
def load_people_and_work() -> bool:
    """Whether there was anything to do. All of it or nothing: a broken load leaves no half."""
    if Workspace.objects.filter(slug=SLUG).exists():
        return False
    password = make_password(story.PASSWORD)  # once: hashing is slow on purpose
    cast = {name: person(name, role, password) for name, role in story.PEOPLE.items()}
    workspace = people.create_workspace(name="Demo", owner=cast["Olga"], slug=SLUG)
    for name, role in story.PEOPLE.items():
        people.add_member(workspace=workspace, user=cast[name], role=role)
    made = [(topic, load_project(topic, workspace, cast)) for topic in TOPICS]
    for topic, project in reversed(made):  # so that the first project is where they were last
        load_work(topic, project, cast)
    return True


def person(name: str, role: Role, password: str) -> User:
    """A person of the demo; one who is here already keeps password and name."""
    known = User.objects.filter(email=address(name)).first()
    if known is not None:
        return known
    create = User.objects.create_superuser if role == Role.OWNER else User.objects.create_user
    user = create(address(name), name)
    user.password = password
    user.save(update_fields=["password"])
    return user


def load_project(topic: Topic, workspace: Workspace, cast: dict[str, User]) -> Project:
    """The project with its guidelines and prompts."""
    project = projects.create_project(
        workspace=workspace,
        name=topic.name,
        slug=topic.slug,
        description=topic.description,
        guidelines=topic.first_guidelines,
        author=cast["Lee"],
    )
    importing.add_records(
        project=project,
        records=[row.record for row in topic.rows()],
        source=f"{topic.slug}.jsonl",
        user=cast["Lee"],
    )
    return project


def load_work(topic: Topic, project: Project, cast: dict[str, User]) -> None:
    """The stages, and what was done in them."""
    rows = {row.record.external_id: row for row in topic.rows()}
    stages: list[tuple[story.Work, Stage]] = []
    for work in story.WORK[topic.slug]:
        stage = projects.create_stage(project=project, **story.stage_options(work))
        queue.fill(stage)  # so that ranking begins with the prompts that came with answers
        stages.append((work, stage))
        judgement.before(stage, topic.slug, rows, cast["Lee"])
    for number, (work, stage) in enumerate(stages):
        stage.refresh_from_db()
        said = partial(story.content_of, rows)
        annotators = [cast[name] for name in dict.fromkeys(work.turns)]
        judgement.answer_gold(stage, topic.slug, annotators, said)
        story.do(work, stage, rows, cast)
        if number == 0:  # what was written is reviewed before anybody ranks it
            judgement.review(project, cast["Rui"])
            judgement.second_guidelines(project, topic, cast)
    judgement.decide(project, cast)
    story.tell_beginning(project)
    for work, stage in stages:
        story.tell_times(stage, work)
    judgement.tell_times(project)


def load_datasets() -> bool:
    """Each dataset of the demo with a frozen version; those that are here are left alone."""
    workspace = Workspace.objects.get(slug=SLUG)
    lee = leader(workspace)
    did = False
    for name, kind, rules in DATASETS:
        dataset = workspace.datasets.filter(name=name).first()
        if dataset is None:
            dataset = datasets.create(
                workspace=workspace, name=name, kind=kind, values={**SHARES, **rules}, user=lee
            )
            previews.refresh(dataset=dataset)
            previews.compute(dataset.pk)
            did = True
        if not dataset.snapshots.exists():
            snapshots.freeze_now(dataset=dataset, user=lee)
            did = True
    return did


def load_runs() -> bool:
    """The base model's conversion and a small SFT run behind it; a worker takes them up."""
    workspace = Workspace.objects.get(slug=SLUG)
    if Run.objects.filter(workspace=workspace, recipe="sft").exists():
        return False
    lee = leader(workspace)
    dataset = Dataset.objects.get(workspace=workspace, name="Support SFT")
    snapshot = dataset.snapshots.filter(state="ready").order_by("number").first()
    if snapshot is None:
        return False
    base = runs.get_model(workspace=workspace, user=lee)
    runs.create_run(
        workspace=workspace,
        recipe="sft",
        config=SFT,
        inputs={"model": base, "snapshot": snapshot},
        user=lee,
    )
    return True


def leader(workspace: Workspace) -> User | None:
    """Lee, or whoever leads in their place."""
    members = Membership.objects.filter(workspace=workspace, role__gte=Role.LEAD, is_active=True)
    first = members.select_related("user").order_by("role", "pk").first()
    return first.user if first else None
