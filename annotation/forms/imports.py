"""What a lead says about a file: how it is laid out, and what to do with bad rows."""

from typing import Any

from django import forms

from annotation.layouts import LAYOUTS

_FIELDS = {
    "prompt": "Prompt",
    "response": "Response",
    "context": "Context",
    "system": "System message",
    "chosen": "Chosen",
    "rejected": "Rejected",
    "external_id": "Id",
}


class LayoutForm(forms.Form):
    layout = forms.ChoiceField(
        required=False,
        choices=[
            ("", "recognise it by the columns"),
            *((name, layout.title) for name, layout in LAYOUTS.items()),
        ],
    )
    skip_bad = forms.BooleanField(
        label="Skip bad rows",
        required=False,
        help_text="Otherwise one bad row stops the whole import.",
    )


class UploadForm(LayoutForm):
    field_order = ("file", "layout", "skip_bad")
    file = forms.FileField(
        help_text="JSONL, JSON, CSV, TSV or Parquet, plain or gzipped. You see what is in it "
        "before anything is imported."
    )


class MappingForm(forms.Form):
    """A column for each field, as text or from the columns that the file has."""

    def __init__(self, *args: Any, columns: list[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "—"), *((name, name) for name in columns or [])]
        for name, label in _FIELDS.items():
            self.fields[f"map_{name}"] = (
                forms.ChoiceField(label=label, choices=choices, required=False)
                if columns
                else forms.CharField(label=label, max_length=200, required=False)
            )
        self.fields["map_metadata"] = forms.CharField(
            label="Metadata",
            max_length=1000,
            required=False,
            help_text="Further columns to keep, with commas between.",
        )

    def mapping(self) -> dict[str, str]:
        """Field to column, for what was filled in."""
        found = {
            name: self.cleaned_data[f"map_{name}"]
            for name in _FIELDS
            if self.cleaned_data[f"map_{name}"]
        }
        columns = self.cleaned_data["map_metadata"].split(",")
        names = [column.strip() for column in columns if column.strip()]
        return {**found, **{f"metadata.{name}": name for name in names}} if found else {}


def initial_of(mapping: dict[str, str]) -> dict[str, str]:
    """A stored mapping as the form's initial values."""
    metadata = [column for name, column in mapping.items() if name.startswith("metadata.")]
    fields = {f"map_{name}": mapping[name] for name in _FIELDS if name in mapping}
    return {**fields, "map_metadata": ", ".join(metadata)}
