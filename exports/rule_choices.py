"""What a workspace has for the rules to choose from: stages, people, languages, questions, keys."""

from collections.abc import Iterable
from typing import Any

from django.db.models import Sum

from annotation.models import Import, Project, Prompt, Seat, Stage, Workspace
from annotation.rubric import in_force
from exports import explorer, names
from exports.models import Dataset, Preview

Choices = list[tuple[str, str]]
MOST = 60  # people that are offered, those with most work first
KEYS = 12  # names of metadata
PROMPTS = 200  # that are looked at for names of metadata where there is no look yet
IMPORTS, FEW = 20, 10  # the newest imports, and so many prompts of each, beside them
LANGUAGES = (
    "en",
    "de",
    "es",
    "fr",
    "it",
    "pt",
    "nl",
    "pl",
    "ru",
    "tr",
    "ar",
    "hi",
    "zh",
    "ja",
    "ko",
)


class Offered:
    """The choices of a workspace; of a dataset with what its last look met."""

    def __init__(self, workspace: Workspace, dataset: Dataset | None) -> None:
        self.workspace, self.dataset = workspace, dataset
        self.look = _look(dataset)
        found = Project.objects.filter(workspace=workspace).order_by("name")
        self.projects = [project for project in found if not project.archived]
        rows = Stage.objects.filter(project__in=self.projects).select_related("project")
        self.stages = list(rows.order_by("project__name", "position", "pk"))

    def of(self, rule: str, chosen: Iterable[Any]) -> Choices:
        """The choices of a rule of TICKS or ASKED; what is chosen now is always among them."""
        choices = {
            "projects": lambda: [(p.slug, p.name) for p in self.projects],
            "stages": lambda: [(str(s.pk), f"{s.project} / {s} ({s.kind})") for s in self.stages],
            "annotators": self.people,
            "without_annotators": self.people,
            "languages": self.languages,
            "not_in": self.apart,
            "best_rated": lambda: [("", "no: any answer"), *self.questions(("rating",))],
            "question": lambda: [
                ("", "choose one; of unpaired: the thumb that was imported"),
                *self.labels(),
            ],
        }[rule]()
        there = {value for value, _ in choices}
        known = rule in ("projects", "stages")  # what is no longer there is to be told
        more = [] if known else [str(one) for one in chosen if str(one) not in there]
        return choices + [(one, self._name(rule, one)) for one in more]

    def people(self) -> Choices:
        """Who worked here, with how much: people by their submissions, raters by their rows."""
        done = Seat.objects.filter(stage__in=self.stages, submitted__gt=0).order_by()
        counts = {
            f"user {user}": total
            for user, total in done.values_list("user").annotate(total=Sum("submitted"))
        }
        for key, rows in self._met("annotator"):
            counts.setdefault(key, rows)
        called = names.people(counts)
        most = sorted(counts, key=lambda key: (-counts[key], key))[:MOST]
        return [(key, f"{called.get(key, key)} ({counts[key]:,})") for key in most]

    def languages(self) -> Choices:
        met = [(code, f"{names.language(code)}, {n:,} rows") for code, n in self._met("language")]
        there = {code for code, _ in met}
        return met + [(code, names.language(code)) for code in LANGUAGES if code not in there]

    def apart(self) -> Choices:
        """What rows may be kept apart from: other datasets and benchmarks."""
        others = self.workspace.datasets.order_by("name")
        own = self.dataset.pk if self.dataset else None
        found = [(f"dataset {d.slug}", f"the dataset {d}") for d in others if d.pk != own]
        benchmarks = self.workspace.benchmarks.order_by("name")
        return found + [
            (f"benchmark {b.name}", f"the benchmark {b} ({b.texts:,} texts)") for b in benchmarks
        ]

    def questions(self, types: tuple[str, ...]) -> Choices:
        """("7.helpful", "helpful? in Project / Rate") of the rubrics in force."""
        return [
            (f"{stage.pk}.{asked['key']}", f"{asked['title']} in {stage.project} / {stage}")
            for stage in self.stages
            for asked in in_force(stage.rubric)
            if asked["type"] in types
        ]

    def labels(self) -> Choices:
        asked = self.questions(("label", "labels", "rating"))
        return asked + [(f"metadata.{key}", f"“{key}” of the metadata") for key in self.keys()]

    def keys(self) -> list[str]:
        """Names of metadata, from the look or from the newest prompts of each import."""
        if self.look is not None:
            named = [name for name in self.look.types if name.startswith("metadata.")]
            return [name.removeprefix("metadata.") for name in named][:KEYS]
        rows = Prompt.objects.live().filter(project__in=self.projects).order_by("-pk")
        done = Import.objects.filter(project__in=self.projects, state=Import.State.DONE)
        parts = [rows[:PROMPTS]]
        parts += [rows.filter(batch=one).order_by()[:FEW] for one in done.order_by("-pk")[:IMPORTS]]
        found = (
            key
            for part in parts
            for one in part.values_list("metadata", flat=True)
            for key in one or {}
        )
        return list(dict.fromkeys(found))[:KEYS]

    def hint(self, rule: str) -> str:
        """What to write, for the fields of lines; nothing where there is nothing to offer."""
        if rule == "metadata" and (keys := self.keys()):
            return f"Here there are: {', '.join(keys)}."
        if rule == "ratings" and (asked := self.questions(("rating", "label", "labels"))[:20]):
            return "Here there are: " + "; ".join(f"{key}: {text}" for key, text in asked) + "."
        if rule == "weights" and len(self.projects) > 1:
            return f"Short names: {', '.join(p.slug for p in self.projects[:20])}."
        return ""

    def _met(self, facet: str) -> list[tuple[str, int]]:
        """A facet's values in the last look, with their rows, the most frequent first."""
        if self.look is None or facet not in self.look.types:
            return []
        counts = self.look.counts_of(facet)
        found = [(value, n) for value, n in counts.items() if value and n]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def _name(self, rule: str, value: str) -> str:
        if rule in ("annotators", "without_annotators"):
            return names.people([value]).get(value, value)
        return names.language(value) if rule == "languages" else value


def _look(dataset: Dataset | None) -> explorer.Look | None:
    preview = Preview.objects.filter(dataset=dataset).first() if dataset else None
    try:
        return explorer.open_look(preview.look) if preview else None
    except explorer.NoLook:
        return None
