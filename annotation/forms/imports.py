"""What a lead says about a file: where it is, how it is laid out, and where it is from."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django import forms

from annotation.columns import Column
from annotation.errors import Refused
from annotation.layouts import LAYOUTS
from annotation.mappings import NAME_LENGTH
from annotation.models import ColumnMapping, Import

MAPPING, SAVED = "mapping", "saved:"
ROLES = {
    "": "left out",
    "prompt": "Prompt",
    "response": "Answer",
    "context": "Context",
    "system": "System message",
    "chosen": "Chosen answer",
    "rejected": "Rejected answer",
    "external_id": "Id",
    "metadata": "Metadata",
}
SEVERAL = {"response", "metadata"}  # what more than one column may be
LICENCES = (
    *("apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-sa-3.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "odc-by", "odbl", "openrail", "gpl-3.0"),
    *("bsd-3-clause", "proprietary", "unknown"),
)


class UploadForm(forms.Form):
    file = forms.FileField(
        help_text="You see what is in it before anything is imported. Its layout is recognised; "
        "what no layout fits is mapped by its columns."
    )


class FolderForm(forms.Form):
    folder = forms.CharField(
        label="Directory",
        max_length=500,
        widget=forms.TextInput(attrs={"list": "folders", "autocomplete": "off"}),
    )
    config = forms.CharField(required=False, max_length=100)
    split = forms.CharField(required=False, max_length=100, help_text="Empty: all of them.")


class HubForm(forms.Form):
    hub = forms.CharField(
        label="Dataset", max_length=250, widget=forms.TextInput(attrs={"placeholder": "owner/name"})
    )
    revision = forms.CharField(
        required=False, max_length=100, help_text="A branch, tag or commit; empty: the newest."
    )
    config = forms.CharField(required=False, max_length=100)
    split = forms.CharField(required=False, max_length=100, help_text="Empty: all of them.")


class LayoutForm(forms.Form):
    """By a layout, by a mapping that was saved, or by the columns as chosen."""

    layout = forms.ChoiceField(required=False, label="Read it as")

    def __init__(
        self, *args: Any, saved: Sequence[ColumnMapping] = (), mapped: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        choices: list[Any] = [("", "recognise it by the columns")]
        if mapped:
            choices.append((MAPPING, "its columns, as chosen below"))
        if saved:
            names = [(f"{SAVED}{row.pk}", row.name) for row in saved]
            choices.append(("Saved mappings that fit", names))
        choices.append(("Layouts", [(name, layout.title) for name, layout in LAYOUTS.items()]))
        self.fields["layout"].choices = choices  # type: ignore[attr-defined]


class ColumnsForm(forms.Form):
    """What each column of the file is: a field `use_N` for the column N."""

    def __init__(
        self,
        *args: Any,
        columns: Sequence[Column],
        mapping: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.columns = columns
        roles = _roles(mapping or {})
        for number, column in enumerate(columns):
            self.fields[f"use_{number}"] = forms.ChoiceField(
                label=column.name,
                choices=list(ROLES.items()),
                required=False,
                initial=roles.get(column.name, roles.get(column.name.casefold(), "")),
            )

    def rows(self) -> list[dict[str, Any]]:
        """The columns for the page, each with its field."""
        return [
            {"column": column, "field": self[f"use_{number}"]}
            for number, column in enumerate(self.columns)
        ]

    def mapping(self) -> dict[str, str]:
        """Field to column. Raises Refused if two columns are what one can be."""
        said = [(c, self.cleaned_data[f"use_{n}"]) for n, c in enumerate(self.columns)]
        answers = [column.name for column, role in said if role == "response"]
        found: dict[str, str] = {}
        for column, role in said:
            name = role
            if role == "metadata" or (role == "response" and len(answers) > 1):
                name = f"{role}.{column.name}"
            if role and name in found:
                raise Refused(
                    f"“{found[name]}” and “{column.name}” cannot both be the {ROLES[role].lower()}:"
                    " choose one."
                )
            if role:
                found[name] = column.name
        return found


def _roles(mapping: dict[str, str]) -> dict[str, str]:
    """Column to what it is."""
    found: dict[str, str] = {}
    for name, column in mapping.items():
        found.setdefault(column, name.split(".")[0])
        found.setdefault(column.strip().casefold(), name.split(".")[0])
    return found


class NameForm(forms.Form):
    use_required_attribute = False  # it stands among the columns, which are sent without it, too

    mapping_name = forms.CharField(
        label="Save these choices as",
        max_length=NAME_LENGTH,
        help_text="Offered for the next file that has these columns. A name that is taken is "
        "overwritten.",
    )


class AboutForm(forms.Form):
    """Where the rows are from; carried into the card of every snapshot that they reach."""

    licence = forms.CharField(
        required=False,
        max_length=100,
        widget=forms.TextInput(attrs={"list": "licences", "autocomplete": "off"}),
        help_text="Of the rows in the file.",
    )
    homepage = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.URLInput(attrs={"placeholder": "https://"}),
        help_text="Where the file is from. Both stand in the card of every dataset with its rows.",
    )

    def clean_homepage(self) -> str:
        return web_address(self.cleaned_data["homepage"])


def web_address(text: str) -> str:
    """The address, if it is one of the web. Raises ValidationError."""
    try:
        parts = urlsplit(text)
    except ValueError:
        parts = urlsplit("")
    if text and not (parts.scheme in ("http", "https") and parts.hostname and text.isprintable()):
        raise forms.ValidationError("Write an address that begins with https:// or http://.")
    return text


class SkipForm(AboutForm):
    """Beside the button that starts it."""

    skip_bad = forms.BooleanField(
        label="Skip refused rows", required=False, help_text="Otherwise one stops the whole import."
    )


def about_initial(import_row: Import) -> dict[str, Any]:
    return {
        "licence": import_row.licence,
        "homepage": import_row.homepage,
        "skip_bad": import_row.skip_bad,
    }
