"""Prompts, answers and stages in one line each."""

from typing import Any

from annotation.models import Prompt, Response, Stage
from annotation.text import prompt_fingerprint, root_key, text_fingerprint


def make_prompt(project, text: str = "Why is the sky blue?", answers=(), **fields: Any) -> Prompt:
    """A one-turn prompt with imported answers (texts, or (text, author_name) pairs)."""
    messages = fields.pop("messages", [{"role": "user", "content": text}])
    prompt = Prompt.objects.create(
        project=project,
        external_id=fields.pop("external_id", f"{text} {Prompt.objects.count()}"),
        messages=messages,
        fingerprint=prompt_fingerprint("", messages, ""),
        root_key=root_key(messages),
        **fields,
    )
    for answer in answers:
        add_answer(prompt, *((answer,) if isinstance(answer, str) else answer))
    return prompt


def add_answer(prompt: Prompt, text: str, author_name: str = "", **fields: Any) -> Response:
    return Response.objects.create(
        prompt=prompt,
        text=text,
        author_name=author_name,
        origin=fields.pop("origin", "imported"),
        fingerprint=text_fingerprint(text),
        **fields,
    )


def make_stage(project, kind: str = "write", **fields: Any) -> Stage:
    return Stage.objects.create(project=project, kind=kind, name=kind.title(), **fields)
