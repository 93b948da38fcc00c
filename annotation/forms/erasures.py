"""What an owner types before something is erased."""

from typing import Any

from django import forms


class _EraseForm(forms.Form):
    """`wanted`: what has to be typed, letter by letter."""

    confirm = forms.CharField(max_length=300, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    reason = forms.CharField(
        required=False,
        max_length=500,
        help_text="It is kept: name nobody in it. For example “asked for on 3 May, ticket 71”.",
    )

    def __init__(self, *args: Any, wanted: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.wanted = wanted
        self.fields["confirm"].label = f"Type {wanted} to confirm"
        self.order_fields([*(name for name in self.fields if name != "confirm"), "confirm"])

    def clean_confirm(self) -> str:
        typed = str(self.cleaned_data["confirm"]).strip()
        if typed != self.wanted:
            raise forms.ValidationError(f"Nothing was erased: type exactly {self.wanted}.")
        return typed


class ErasePersonForm(_EraseForm):
    names = forms.CharField(
        label="Names under which their work was imported",
        required=False,
        max_length=2_000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="One a line, exactly as they stand in the files. What was imported under them is "
        "erased too. Empty: only what hangs on the account.",
    )

    def clean_names(self) -> list[str]:
        return [name for line in self.cleaned_data["names"].splitlines() if (name := line.strip())]


class ErasePromptForm(_EraseForm):
    blank_id = forms.BooleanField(
        label="Blank its id too",
        required=False,
        help_text="Where the id itself says something about a person. Importing the same file "
        "again would then bring the prompt back; with its id it is refused by name.",
    )
