"""What a lead types to set a project and its stages up."""

from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

from annotation.errors import Refused
from annotation.models import Project, Stage, User, Workspace
from annotation.projects import MAX_TAG, MAX_TAGS, TAGS, checked_tags

MAX_GUIDELINES = 100_000  # characters; they come along with every item that is worked on
# The kinds that annotators can work in today.
KINDS = [
    (Stage.Kind.WRITE.value, "write: an answer to each prompt"),
    (Stage.Kind.CORRECT.value, "correct: an answer that is there"),
    (Stage.Kind.RANK.value, "rank: two to nine answers, best first"),
    (Stage.Kind.RATE.value, "rate: questions about a prompt or its answers"),
]
# What a field of the stage is called where its meaning differs between kinds.
SPOKEN = {
    Stage.Kind.WRITE.value: {"source_name": "begin_with"},
    Stage.Kind.CORRECT.value: {"tags": "tags_correct"},
    Stage.Kind.RANK.value: {"tags": "tags_rank"},
}
# The fields that only a stage of this kind has.
OWN = {
    Stage.Kind.WRITE.value: ["begin_with"],
    Stage.Kind.CORRECT.value: ["source", "source_name", "edit_prompt", "tags_correct"],
    Stage.Kind.RANK.value: ["max_answers", "better_answer", "tags_rank"],
    Stage.Kind.RATE.value: ["rate_answers"],
}


# Left empty, these stay as they are.
AS_IT_IS = ("review_share", "gold_every", "takes_all")


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=100)
    description = forms.CharField(
        required=False, max_length=500, help_text="One line: what the prompts are and what for."
    )
    guidelines = forms.CharField(
        required=False,
        max_length=MAX_GUIDELINES,
        widget=forms.Textarea(attrs={"class": "tall"}),
        help_text="Markdown. What makes an answer good here? Each later change is a new version, "
        "and each submission records the one in force.",
    )


class ProjectSettingsForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ["name", "description", "confirm_guidelines"]
        widgets = {"description": forms.TextInput}
        labels = {"confirm_guidelines": "Ask people to confirm the guidelines"}
        help_texts = {
            "confirm_guidelines": "Nobody gets a next item before they have said that they read "
            "and understood the version in force, and each new version asks again."
        }


class GuidelinesForm(forms.Form):
    text = forms.CharField(
        label="Guidelines",
        max_length=MAX_GUIDELINES,
        widget=forms.Textarea(attrs={"class": "tall"}),
        help_text="Markdown. Saved as a new version; earlier submissions keep theirs. Examples "
        "become cards: a block that begins with ```good or ```bad, with a title behind it if you "
        "like, and ends with ```.",
    )


class _People(forms.ModelMultipleChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.email}" if obj.name else obj.email


class _Tags(forms.CharField):
    """One a line."""

    def __init__(self, kind: str, label: str) -> None:
        super().__init__(
            label=label,
            required=False,
            widget=forms.Textarea(attrs={"rows": 5}),
            help_text=f"One a line, up to {MAX_TAGS} of at most {MAX_TAG} characters. "
            "The annotator may tick any. None: not asked.",
            initial="\n".join(TAGS[kind]),
        )

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> list[str]:
        try:
            return checked_tags((value or "").splitlines())
        except Refused as refused:
            raise forms.ValidationError(str(refused)) from None


class StageForm(forms.ModelForm):
    """The kind is asked once: submissions hang on it afterwards."""

    everyone = forms.TypedChoiceField(
        label="Who works here",
        choices=[("yes", "everyone in the workspace"), ("no", "only the people ticked below")],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
        initial="yes",
    )
    people = _People(
        queryset=User.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="People",
    )
    begin_with = forms.CharField(
        label="Begin with the latest answer of",
        required=False,
        max_length=200,
        help_text="An author or a model, e.g. “support-sft”: the annotator edits or discards its "
        "answer, and which of the two is recorded. Empty: a blank page.",
    )
    tags_correct = _Tags(Stage.Kind.CORRECT, "Reasons for a correction")
    tags_rank = _Tags(Stage.Kind.RANK, "What may be wrong with an answer")
    rate_answers = forms.TypedChoiceField(
        label="What the questions are about",
        choices=[("yes", "each answer, and the prompt"), ("no", "the prompt alone")],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
        initial="yes",
        required=False,
        empty_value=True,  # type: ignore[arg-type]
        help_text="Fixed once the stage is made. The questions themselves come on the next page.",
    )

    takes_all = forms.TypedChoiceField(
        label="Which prompts come here",
        choices=[
            ("yes", "all of the project on which there is work"),
            ("no", "only those that a lead sends here, from the list of prompts"),
        ],
        coerce=lambda value: value == "yes",
        widget=forms.RadioSelect,
        initial="yes",
        required=False,
        empty_value=None,
    )

    class Meta:
        model = Stage
        fields = [
            "kind",
            "name",
            "instructions",
            "overlap",
            "everyone",
            "people",
            "source",
            "source_name",
            "edit_prompt",
            "begin_with",
            "max_answers",
            "better_answer",
            "tags_correct",
            "tags_rank",
            "rate_answers",
            "takes_all",
            "order",
            "review_share",
            "gold_every",
            "reopen",
            "lease_minutes",
            "skips_to_close",
        ]
        labels = {
            "overlap": "Overlap",
            "source": "Which answer is corrected",
            "source_name": "Author or model",
            "edit_prompt": "The prompt and its context may be corrected too",
            "max_answers": "Most answers to rank at once",
            "better_answer": "A better answer may be written",
            "order": "Order of the queue",
            "review_share": "Share that is reviewed, in percent",
            "gold_every": "Turns between two gold items",
            "reopen": "Submitted work may be reopened by its author",
            "lease_minutes": "Minutes until an untouched claim goes back",
            "skips_to_close": "Skips that close an item",
        }
        help_texts = {
            "instructions": "Markdown, shown beside the work: what is asked, in a few lines.",
            "overlap": "How many people do each item. Two or more let you measure agreement.",
            "source_name": "Only for the answer of a named author or model, e.g. “support-sft”.",
            "better_answer": "Beside the ranking, when none of the answers is good enough.",
            "review_share": "Of what people hand in, drawn by chance: 0 none, 100 all. A reviewer "
            "accepts it, returns it with a comment or fixes it.",
            "gold_every": "One turn in so many, for each person, is an item whose answer is known; "
            "you make them from items that are done. 0: none.",
            "reopen": "Until others have built on it. Each change is kept in the history.",
            "max_answers": "2 to 9. Of more answers, the others come in a next round.",
            "skips_to_close": "The item then waits on your list of flagged items.",
        }
        widgets = {"instructions": forms.Textarea(attrs={"rows": 4})}

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, least, most in (
            ("overlap", 1, 32_767),
            ("max_answers", 2, 9),
            ("review_share", 0, 100),
            ("gold_every", 0, 1000),
        ):
            self.fields[name].validators += [MinValueValidator(least), MaxValueValidator(most)]
            self.fields[name].widget.attrs.update(min=least, max=most)
        for name in AS_IT_IS:
            self.fields[name].required = False
        people = self.fields["people"]
        assert isinstance(people, _People)
        people.queryset = User.objects.filter(
            memberships__workspace=workspace, memberships__is_active=True
        ).order_by("name", "email")
        order = self.fields["order"]
        assert isinstance(order, forms.TypedChoiceField)
        order.choices = [(Stage.Order.ARRIVAL, "oldest first"), (Stage.Order.RANDOM, "random")]
        if self.instance.order == Stage.Order.SCORES:
            label = f"by score, from {self.instance.order_source or 'a program'}"
            order.choices = [*order.choices, (Stage.Order.SCORES, label)]
        if self.instance.pk:
            del self.fields["kind"]
            self.fields["everyone"].initial = "yes" if self.instance.open_to_all else "no"
            self.initial["takes_all"] = "yes" if self.instance.takes_all else "no"
            people.initial = [seat.user_id for seat in self.instance.seats.all() if seat.assigned]
            for field, name in SPOKEN.get(self.instance.kind, {}).items():
                self.initial[name] = getattr(self.instance, field)
            for name in [*self.other_kinds(self.instance.kind), "rate_answers"]:
                self.fields.pop(name, None)
        else:
            kind = self.fields["kind"]
            assert isinstance(kind, forms.TypedChoiceField)
            kind.choices = KINDS

    @staticmethod
    def other_kinds(kind: str) -> list[str]:
        """The fields that mean nothing in a stage of this kind."""
        return [name for owner, names in OWN.items() if owner != kind for name in names]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("everyone") is False and not cleaned.get("people"):
            self.add_error("people", "Tick at least one person, or let everyone work here.")
        for name in AS_IT_IS:
            if cleaned.get(name, "") is None:
                cleaned[name] = getattr(self.instance, name)
        if cleaned.get("gold_every") == 1:
            self.add_error("gold_every", "Every turn would be gold: 0 for none, or 2 and more.")
        kind = cleaned.get("kind") or self.instance.kind
        for name in self.other_kinds(kind):  # what stands in a field that was hidden is not judged
            self.errors.pop(name, None)
            cleaned.pop(name, None)
        if cleaned.get("source") == Stage.Source.ORIGIN and not cleaned.get("source_name"):
            self.add_error("source_name", "Name the author or the model.")
        return cleaned

    def changes(self) -> dict[str, Any]:
        """What the acts take: the fields of the stage, and `people` (None for everyone)."""
        data = dict(self.cleaned_data)
        kind = data.get("kind") or self.instance.kind
        people = data.pop("people")
        data["people"] = None if data.pop("everyone") else list(people)
        for name in self.other_kinds(kind):
            data.pop(name, None)
        for field, name in SPOKEN.get(kind, {}).items():
            data[field] = data.pop(name)
        return data

    def refuse(self, refused: Refused) -> None:
        """The message beside the field that it names."""
        field = SPOKEN.get(self.instance.kind, {}).get(refused.field, refused.field)
        self.add_error(field if field in self.fields else None, str(refused))
