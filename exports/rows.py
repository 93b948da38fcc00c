"""What each kind makes of the work on one prompt: rows, and dropped rows with their one reason.

Pure: from plain values to plain values. What is out of the selection's scope (other projects and
stages, late, withdrawn or unfinished work) never gets here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from annotation.text import normalise, root_key
from exports import formats, preferences
from exports.rules import ANSWER_CLASSES, Selection
from exports.splits import split

DUPLICATE = "exact duplicate of another row"
OTHER_CHOSEN = "another answer was chosen"  # by the lead, who decided the item
OTHER_SPLIT = "the corrected prompt belongs to another split"


@dataclass(frozen=True, slots=True)
class Answer:
    """A live response. `messages`, `system`, `context`: the correction's own, where it has them."""

    id: int
    text: str
    origin: str
    corrects: int | None = None
    in_scope: bool = True
    submission: int | None = None
    annotator: str = ""
    guidelines: int | None = None
    messages: list[dict[str, Any]] | None = None
    system: str | None = None
    context: str | None = None
    passed_over: bool = False  # a lead decided its item otherwise

    @property
    def kind(self) -> str:
        """A key of ANSWER_CLASSES."""
        if self.corrects is not None:
            return "corrected"
        return {"human": "written"}.get(self.origin, self.origin)


@dataclass(frozen=True, slots=True)
class Ranked:
    """A ranking in scope."""

    order: list[list[int]]
    submission: int | None  # none for a lead's own decision
    annotator: str
    strength: int | None = None
    guidelines: int | None = None
    all_bad: bool = False


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
    answers: list[Answer] = field(default_factory=list)
    rankings: list[Ranked] = field(default_factory=list)


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


def candidates(kind: str, work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    """All that the prompt gives to a dataset of the kind, each once."""
    return {"sft": _sft, "preference": _preference, "prompts": _prompts}[kind](
        work, selection, salt
    )


def _sft(work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    wanted = set(selection.answers)
    scope = [answer for answer in work.answers if answer.in_scope]
    standing = [answer for answer in scope if not answer.passed_over]
    corrected = {a.corrects for a in standing} if "corrected" in wanted else set()
    votes = _votes(work) if selection.best_ranked else []
    best, bad = preferences.best(votes), preferences.judged_bad(votes)
    for answer in scope:
        found = Candidate(work, length=len(answer.text), answers=[answer])
        if answer.kind not in wanted:
            found.reason = f"answers {ANSWER_CLASSES[answer.kind].split(' (')[0]} are not selected"
        elif answer.passed_over:
            found.reason = OTHER_CHOSEN
        elif answer.id in corrected:
            found.reason = "superseded by its correction"
        elif selection.best_ranked and not best:
            found.reason = "nobody ranked it"
        elif selection.best_ranked and answer.id not in best:
            found.reason = "not the best ranked"
        elif answer.id in bad:
            found.reason = "the best ranked, but judged bad"
        else:
            found.reason = _unfit(work, answer) or _unfit_text(selection, answer.text)
        if not found.reason:
            found.row = formats.sft(_prompt(work, selection, answer), answer.text)
            _place(found, selection, salt, answer)
        yield found


def _preference(work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    answers = {answer.id: answer for answer in work.answers}
    compared = set()
    for pair in preferences.unify(_votes(work), selection.pairs):
        compared.add(frozenset((pair.chosen, pair.rejected)))
        rankings = [work.rankings[place] for place in pair.by]
        chosen, rejected = answers.get(pair.chosen), answers.get(pair.rejected)
        if chosen is None or rejected is None:
            yield Candidate(work, "one of the two answers was withdrawn", rankings=rankings)
            continue
        margin = {"strength": pair.strength, "places": pair.places}.get(selection.margin)
        reason = pair.reason
        if not reason and selection.margin == "strength" and margin is None:
            reason = preferences.UNKNOWN_STRENGTH
        yield _pair(work, selection, salt, chosen, rejected, reason, margin, rankings)
    if selection.corrections_as_pairs:
        for correction in work.answers:
            original = answers.get(correction.corrects or 0)
            if not correction.in_scope or original is None:
                continue
            if not selection.include_imported and correction.origin == "imported":
                continue
            ranked = frozenset((correction.id, original.id)) in compared
            reason = "the two were ranked as well" if ranked else ""
            if correction.passed_over:
                reason = OTHER_CHOSEN
            if not reason and selection.margin != "none":
                reason = "a correction has no margin"
            yield _pair(work, selection, salt, correction, original, reason, None, [], correction)


def _pair(
    work: Work,
    selection: Selection,
    salt: str,
    chosen: Answer,
    rejected: Answer,
    reason: str,
    margin: float | None,
    rankings: list[Ranked],
    correction: Answer | None = None,
) -> Candidate:
    found = Candidate(
        work,
        reason,
        length=len(chosen.text),
        other=len(rejected.text),
        answers=[chosen, rejected],
        rankings=rankings,
    )
    if not found.reason:
        found.reason = _unfit(work, correction)
    if not found.reason and normalise(chosen.text) == normalise(rejected.text):
        found.reason = "both answers are the same"
    if not found.reason:
        found.reason = _unfit_text(selection, chosen.text) or _unfit_text(selection, rejected.text)
    if not found.reason:
        prompt = _prompt(work, selection, correction)
        found.row = formats.preference(prompt, chosen.text, rejected.text, margin)
        _place(found, selection, salt, correction)
    return found


def _prompts(work: Work, selection: Selection, salt: str) -> Iterator[Candidate]:
    found = Candidate(work, _unfit(work, None))
    if not found.reason:
        found.row = formats.prompts(_prompt(work, selection, None))
        found.length = len(found.row["prompt"][-1]["content"])
        _place(found, selection, salt, None)
    yield found


def _votes(work: Work) -> list[preferences.Vote]:
    return [
        preferences.Vote(r.order, r.strength, place, r.all_bad)
        for place, r in enumerate(work.rankings)
    ]


def _messages(work: Work, answer: Answer | None) -> list[dict[str, Any]]:
    """The prompt's turns; a correction's own where it has them."""
    own = answer.messages if answer is not None else None
    return work.messages if own is None else own


def _unfit(work: Work, answer: Answer | None) -> str:
    """Why the prompt gives no row of any kind, or nothing."""
    if work.retired:
        return "the prompt is retired"
    messages = _messages(work, answer)
    if not messages:
        return "a document, not a prompt"
    if work.tools or any(m.get("tool_calls") or m.get("role") == "tool" for m in messages):
        return "uses tools, which these rows cannot carry"
    if not all(isinstance(m.get("content"), str) for m in messages):
        return "a turn is not plain text"
    if messages[-1]["role"] != "user":
        return "does not end with the user's turn"
    if not messages[-1]["content"].strip():
        return "the prompt is empty"
    return ""


def _unfit_text(selection: Selection, text: str) -> str:
    if not text.strip():
        return "the answer is empty"
    if len(text) < selection.min_length:
        return f"shorter than {selection.min_length} characters"
    return ""


def _prompt(work: Work, selection: Selection, answer: Answer | None) -> list[formats.Message]:
    own = answer or Answer(0, "", "")
    return formats.conversation(
        _messages(work, answer),
        work.system if own.system is None else own.system,
        work.context if own.context is None else own.context,
        selection.prompt_template,
    )


def _place(found: Candidate, selection: Selection, salt: str, answer: Answer | None) -> None:
    """The row's split; a corrected prompt that belongs elsewhere would leak, so it is dropped."""
    shares = selection.test / 100, selection.validation / 100
    found.split = split(found.work.root_key, salt, *shares)
    if answer is not None and answer.messages is not None:
        own = root_key(answer.messages)
        if split(own, salt, *shares) != found.split:
            found.reason, found.row = OTHER_SPLIT, None
