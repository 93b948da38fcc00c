"""The work on one prompt as plain values, and what every kind of row asks of it. Pure."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from annotation.text import digest, root_key
from exports import formats
from exports.choices import ANSWER_CLASSES
from exports.rules import Selection
from exports.splits import split

DUPLICATE = "exact duplicate of another row"
OTHER_CHOSEN = "another answer was chosen"  # by the lead, who decided the item
OTHER_SPLIT = "the corrected prompt belongs to another split"


@dataclass(slots=True)
class Answer:
    """A live response. `messages`, `system`, `context`: the correction's own, where it has them.
    `out`: why the work that it comes from does not count here, or nothing."""

    id: int
    text: str
    origin: str
    corrects: int | None = None
    submission: int | None = None
    annotator: str = ""
    guidelines: int | None = None
    messages: list[dict[str, Any]] | None = None
    system: str | None = None
    context: str | None = None
    passed_over: bool = False  # a lead decided its item otherwise
    out: str = ""
    in_scope: bool = True  # False: of another stage, or not handed in
    metadata: dict[str, Any] = field(default_factory=dict)
    stage: int | None = None
    review: str = ""
    day: str = ""  # of the work, as 2026-11-21
    batch: int | None = None  # the import that it came with

    @property
    def kind(self) -> str:
        """A key of ANSWER_CLASSES."""
        if self.corrects is not None:
            return "corrected"
        return {"human": "written"}.get(self.origin, self.origin)


@dataclass(slots=True)
class Ranked:
    """A ranking in scope. `out`: why it does not count here, or nothing. `agreement`: of the
    item's annotators, 0 to 100; none where fewer than two did it."""

    order: list[list[int]]
    submission: int | None  # none for a lead's own decision
    annotator: str
    strength: int | None = None
    guidelines: int | None = None
    all_bad: bool = False
    decided: bool = False  # by a lead, who chose it or said it
    out: str = ""
    stage: int | None = None
    agreement: int | None = None
    review: str = ""
    day: str = ""


@dataclass(slots=True)
class Rated:
    """A submission's answers to its stage's rubric: {question: value} about the prompt,
    {question: {response id as text: value}} about each answer."""

    stage: int
    item: int
    submission: int | None  # none for a lead's own decision
    annotator: str
    ratings: dict[str, Any]
    guidelines: int | None = None
    decided: bool = False  # by a lead, who chose it or said it
    out: str = ""
    agreement: int | None = None
    review: str = ""
    day: str = ""


@dataclass(slots=True)
class Work:
    """A prompt with what hangs on it."""

    project: str
    project_uuid: UUID
    id: int
    external_id: str
    messages: list[dict[str, Any]]
    root_key: str
    system: str = ""
    context: str = ""
    tools: Any = None
    retired: bool = False
    metadata: dict[str, Any] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    rankings: list[Ranked] = field(default_factory=list)
    rated: list[Rated] = field(default_factory=list)
    batch: int | None = None  # the import that it came with


@dataclass(slots=True)
class Candidate:
    """A row, or (with a reason) what would have been one. Lengths are characters of the answer."""

    work: Work
    reason: str = ""
    row: Any = None
    split: str = ""
    length: int = 0
    other: int | None = None  # preference: the rejected answer's
    answers: list[Answer] = field(default_factory=list)
    rankings: list[Ranked] = field(default_factory=list)
    rated: list[Rated] = field(default_factory=list)
    masked: frozenset[str] = frozenset()  # the kinds of personal data that were masked in the row
    label: str = ""  # unpaired and labels: what it was judged to be, for the page


def outside(selection: Selection, annotator: str, day: str, review: str, own: bool = True) -> str:
    """Why work does not count here by who did it, when, and what a reviewer said; or nothing.

    `own`: done here. What was imported or said by a model has no review."""
    if selection.annotators and annotator not in selection.annotators:
        return "its annotator is not selected"
    if annotator and annotator in selection.without_annotators:
        return "its annotator is left out"
    if selection.since and day < selection.since:
        return f"from before {selection.since}"
    if selection.until and day > selection.until:
        return f"from after {selection.until}"
    if own and selection.review != "any":
        if review == "waiting":
            return "waits for a review"
        if selection.review == "accepted" and review not in ("accepted", "fixed"):
            return "no reviewer accepted it"
    return ""


def leaves_work_out(selection: Selection) -> bool:
    """Could `outside` say anything at all? It is asked of millions of answers."""
    return bool(
        selection.annotators
        or selection.without_annotators
        or selection.since
        or selection.until
        or selection.review != "any"
    )


def class_of(answer: Answer) -> str:
    """Its class in short words: "written here"."""
    return ANSWER_CLASSES[answer.kind].split(" (")[0]


def messages_of(work: Work, answer: Answer | None) -> list[dict[str, Any]]:
    """The prompt's turns; a correction's own where it has them."""
    own = answer.messages if answer is not None else None
    return work.messages if own is None else own


def unfit(work: Work, answer: Answer | None) -> str:
    """Why the prompt gives no row of a conversational kind, or nothing."""
    if work.retired:
        return "the prompt is retired"
    messages = messages_of(work, answer)
    if not messages:
        return "a document, not a prompt"
    if work.tools:
        return "uses tools, which these rows cannot carry"
    for message in messages:
        if message["role"] == "tool" or message.get("tool_calls"):
            return "uses tools, which these rows cannot carry"
        if not isinstance(message.get("content"), str):
            return "a turn is not plain text"
    if messages[-1]["role"] != "user":
        return "does not end with the user's turn"
    if not messages[-1]["content"].strip():
        return "the prompt is empty"
    return ""


def unfit_text(selection: Selection, text: str) -> str:
    """Why an answer gives no row, or nothing."""
    if not text or text.isspace():
        return "the answer is empty"
    if len(text) < selection.min_length:
        return f"shorter than {selection.min_length} characters"
    if selection.max_length and len(text) > selection.max_length:
        return f"longer than {selection.max_length} characters"
    return ""


def prompt_of(work: Work, selection: Selection, answer: Answer | None) -> list[formats.Message]:
    """The prompt as the model is given it; a correction's own system and context where it has
    them."""
    system, context = work.system, work.context
    if answer is not None:
        system = system if answer.system is None else answer.system
        context = context if answer.context is None else answer.context
    return formats.conversation(
        messages_of(work, answer), system, context, selection.prompt_template
    )


def root_of(work: Work) -> str:
    """What holds a conversation together in one split. A document has no turns and goes by its
    text, so that an equal one stands on the same side whatever its id; of several texts, of which
    documents have but one, by the one that sorts first."""
    if work.messages:
        return work.root_key
    texts = (a.text for a in work.answers if a.origin == "imported" and a.corrects is None)
    return min((root_key([], text) for text in texts), default=digest(work.external_id))


def place(found: Candidate, selection: Selection, salt: str, answer: Answer | None) -> None:
    """The row's split; a corrected prompt that belongs elsewhere would leak, so it is dropped."""
    shares = selection.test / 100, selection.validation / 100
    found.split = split(root_of(found.work), salt, *shares)
    if answer is not None and answer.messages:
        own = root_key(answer.messages)
        if split(own, salt, *shares) != found.split:
            found.reason, found.row = OTHER_SPLIT, None
