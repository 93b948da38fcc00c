"""Prompts that mean nearly the same, by their vectors: what the panel of a prompt's page shows."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from annotation.errors import Refused
from annotation.models import Project, Prompt
from training import embedder, embedding, vectors
from training.embedding_job import AT_ONCE
from training.reports import span
from training.vectors import Vectors, mark_of

SHOWN = 10
LOOKED_AT = (4 * SHOWN, 40 * SHOWN, 400 * SHOWN)  # nearest ones, until SHOWN of them still fit
NEW = 1_000  # so many new prompts are counted


@dataclass(frozen=True)
class Near:
    """Another prompt of the project. `cosine`: 1 for the same text, about 0 for unrelated ones."""

    prompt: Prompt
    cosine: float


@dataclass(frozen=True)
class Panel:
    """`why`: why there is nothing to show, or not all of it; `button`: what a lead may ask for;
    `refusal`: what is missing before they can."""

    near: list[Near]
    why: str
    button: str
    refusal: str
    busy: bool
    state: dict[str, Any]
    computed: datetime | None
    left: str


def panel(prompt: Prompt) -> Panel:
    """All that the panel says of this prompt."""
    embedding.forget_erased(prompt.project)
    home = embedding.home_of(prompt.project_id)
    state = vectors.read_state(home)
    busy = embedding.is_busy(state)
    there = vectors.open_vectors(home)
    vector = there.of(prompt.pk, mark_of(prompt.fingerprint)) if there else None
    near = nearest(prompt, there, vector) if there is not None and vector is not None else []
    model, refusal = "", ""
    try:
        model = embedder.find().tag
    except Refused as error:
        refusal = str(error)
    why, button = _missing(prompt, state, there, vector is not None, model)
    return Panel(
        near=near,
        why=why,
        button="" if busy or refusal else button,
        refusal=refusal if button else "",
        busy=busy,
        state=state,
        computed=parse_datetime(str(state.get("computed") or "")),
        left=span(state["left"]) if state.get("left") else "",
    )


def nearest(prompt: Prompt, there: Vectors, vector: Any) -> list[Near]:
    """The nearest other prompts of the project that are in use and still what they were."""
    found: list[Near] = []
    for count in LOOKED_AT:
        near = [row for row in there.nearest(vector, count) if row[0] != prompt.pk]
        rows = Prompt.objects.live().filter(project=prompt.project_id, retired=None)
        rows = rows.defer("context", "system", "tools", "metadata")
        prompts: dict[int, Prompt] = {}
        for start in range(0, len(near), AT_ONCE):
            prompts |= rows.in_bulk([pk for pk, _, _ in near[start : start + AT_ONCE]])
        found = [
            Near(prompts[pk], min(cosine, 1.0))
            for pk, mark, cosine in near
            if pk in prompts and mark_of(prompts[pk].fingerprint) == mark
        ]
        if len(found) >= SHOWN or count >= len(there.keys):
            break
    return found[:SHOWN]


def _missing(
    prompt: Prompt, state: dict[str, Any], there: Vectors | None, is_in: bool, model: str
) -> tuple[str, str]:
    """(what is missing, what the button says); empty where nothing is."""
    go_on = "Go on" if state.get("state") == "stopped" else "Find similar prompts"
    if there is None:
        return "The prompts of this project have not been compared yet.", go_on
    if model and model != state.get("model"):
        return f"Compared by {state.get('name')}; another model is installed now.", "Compare again"
    if not is_in:
        why = "It is not among those that were compared: it is new, or was edited or retired since."
        return why, "" if prompt.retired else go_on
    if new := _new(prompt.project, int(state.get("newest") or 0)):
        many = "more than 1,000" if new > NEW else f"{new:,}"
        return f"{many} {'prompt is' if new == 1 else 'prompts are'} newer than this.", "Add them"
    return "", ""


def _new(project: Project, newest: int) -> int:
    """How many prompts came since; NEW + 1 for more."""
    rows = Prompt.objects.live().filter(project=project, retired=None, pk__gt=newest)
    return rows.exclude(fingerprint="")[: NEW + 1].count()
