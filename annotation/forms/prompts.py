"""A prompt typed by hand: its turns as text, its metadata as JSON."""

from typing import Any

from django import forms

from annotation.models import Prompt

_ROLES = {"user", "assistant", "system", "tool"}


class PromptForm(forms.Form):
    """The last turn in a field of its own; the turns before it as JSON, for those who need it."""

    question = forms.CharField(
        label="Prompt", widget=forms.Textarea, help_text="What is to be answered."
    )
    system = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="The system message, if there is one.",
    )
    context = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Text that the answer should rest on.",
    )
    earlier = forms.JSONField(
        label="Earlier turns",
        required=False,
        help_text='JSON, oldest first: [{"role": "user", "content": "…"}, '
        '{"role": "assistant", "content": "…"}]',
    )
    metadata = forms.JSONField(required=False, help_text='JSON, e.g. {"topic": "billing"}')
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
                "earlier": prompt.messages[:-1] or None,
                "metadata": prompt.metadata or None,
            }
        super().__init__(*args, **kwargs)
        self.prompt = prompt
        if prompt is not None:
            del self.fields["external_id"]
            # A document has no messages and no question.
            self.fields["question"].required = bool(prompt.messages)

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
        """What the acts take. The last turn keeps what it has besides its text."""
        data = self.cleaned_data
        last = {"role": "user"}
        if self.prompt is not None and self.prompt.messages:
            last = self.prompt.messages[-1]
        question = data["question"]
        messages = [*data["earlier"], {**last, "content": question}] if question else []
        return {
            "messages": messages,
            "system": data["system"],
            "context": data["context"],
            "metadata": data["metadata"],
        }
