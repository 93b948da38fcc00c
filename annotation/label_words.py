"""What a lead types to find a label: the questions' short names, or the words that people see."""

from annotation.models import Project
from annotation.rubric import Question, options

MOST = 200  # that are offered


def offered(project: Project) -> list[str]:
    """question=answer for each answer that the project's rubrics offer, MOST at most."""
    found: dict[str, None] = {}
    for question in _questions(project):
        found.update({f"{question['key']}={value}": None for value, _ in _answers(question)})
    return list(found)[:MOST]


def meant(project: Project, typed: str) -> str:
    """`typed` with the short names where it has a question's title or an answer's words, in upper
    or lower case; what is known by neither stays as it is."""
    title, equals, words = (part.strip() for part in typed.partition("="))
    for question in _questions(project) if equals else []:
        if title.casefold() in (question["key"].casefold(), question["title"].casefold()):
            for value, label in _answers(question):
                if words.casefold() in (value.casefold(), label.casefold()):
                    return f"{question['key']}={value}"
    return typed


def _questions(project: Project) -> list[Question]:
    """Those that are asked no more, too: there are answers to them."""
    rubrics = project.stages.order_by("position", "pk").values_list("rubric", flat=True)
    return [question for rubric in rubrics for question in rubric]


def _answers(question: Question) -> list[tuple[str, str]]:
    """(value, what people read)."""
    if question["type"] == "text":
        return []
    return [(option["value"], option["label"]) for option in options(question)]
