"""A prompt typed by hand: its turns as text, its metadata as JSON."""

import json
from typing import Any

from django import forms

from annotation.models import Prompt

_ROLES = {"user", "assistant", "system", "tool"}


class _Text(forms.CharField):
    """Text as it was typed: browsers send CRLF for each line end, and ends are not stripped."""

    widget = forms.Textarea

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(strip=False, **kwargs)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).replace("\r\n", "\n")


class _Json(forms.JSONField):
    """JSON as people read it; nothing where there is nothing."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict | list):
            return json.dumps(value, ensure_ascii=False, indent=2) if value else ""
        return value


class PromptForm(forms.Form):
    """The last turn in a field of its own; the turns before it as JSON, for those who need it."""

    question = _Text(label="Prompt", help_text="What is to be answered.")
    system = _Text(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The system message, if there is one.",
    )
    context = _Text(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Text that the answer should rest on.",
    )
    earlier = _Json(
        label="Earlier turns",
        required=False,
        help_text='JSON, oldest first: [{"role": "user", "content": "…"}, '
        '{"role": "assistant", "content": "…"}]',
    )
    metadata = _Json(required=False, help_text='JSON, e.g. {"topic": "billing"}')
    external_id = forms.CharField(
        label="Id",
        required=False,
        max_length=200,
        help_text="Its name in your own system. Left empty, a hash of the text.",
    )

    def __init__(self, *args: Any, prompt: Prompt | None = None, **kwargs: Any) -> None:
        if prompt is not None:
            kwargs["initial"] = {
                "question": prompt.question,
                "system": prompt.system,
                "context": prompt.context,
                "earlier": prompt.messages[:-1],
                "metadata": prompt.metadata,
            }
        super().__init__(*args, **kwargs)
        self.prompt = prompt
        if prompt is not None:
            del self.fields["external_id"]
            # A document has no question, nor has a turn that only calls a tool.
            self.fields["question"].required = bool(prompt.question)

    def clean_question(self) -> str:
        question = str(self.cleaned_data["question"])
        if self.fields["question"].required and not question.strip():
            raise forms.ValidationError("This field is required.")
        return question

    def clean_earlier(self) -> list[dict[str, Any]]:
        turns = self.cleaned_data["earlier"] or []
        if not isinstance(turns, list):
            raise forms.ValidationError("This must be a list of turns.")
        for number, turn in enumerate(turns, 1):
            if not isinstance(turn, dict) or turn.get("role") not in _ROLES:
                raise forms.ValidationError(
                    f"Turn {number} needs a role: user, assistant, system or tool."
                )
            if not isinstance(turn.get("content"), str) and not turn.get("tool_calls"):
                raise forms.ValidationError(f"Turn {number} has no content.")
        return turns

    def clean_metadata(self) -> dict[str, Any]:
        metadata = self.cleaned_data["metadata"] or {}
        if not isinstance(metadata, dict):
            raise forms.ValidationError('This must be an object: {"name": "value"}.')
        return metadata

    def content(self) -> dict[str, Any]:
        """What the acts take. What was not changed stays as it is stored, to the last blank."""
        data = self.cleaned_data
        return {
            "messages": [*data["earlier"], *self._last_turn(data["question"])],
            "system": self._text("system", data["system"]),
            "context": self._text("context", data["context"]),
            "metadata": data["metadata"],
        }

    def _last_turn(self, question: str) -> list[dict[str, Any]]:
        """The turn keeps what it has besides its text."""
        last = self.prompt.messages[-1:] if self.prompt else []
        if self.prompt and question == self.prompt.question.replace("\r\n", "\n"):
            return last
        turn = last[0] if last else {"role": "user"}
        return [{**turn, "content": question.strip()}]

    def _text(self, field: str, value: str) -> str:
        stored = str(getattr(self.prompt, field, ""))
        return stored if value == stored.replace("\r\n", "\n") else value.strip()
