"""What a lead types to set a project and its stages up."""

from typing import Any

from django import forms

from annotation.models import Project, Stage, User, Workspace

# The kinds that annotators can work in today.
KINDS = [
    (Stage.Kind.WRITE.value, "write: an answer to each prompt"),
    (Stage.Kind.CORRECT.value, "correct: an answer that is there"),
    (Stage.Kind.RANK.value, "rank: two to nine answers, best first"),
]


class ProjectForm(forms.Form):
    name = forms.CharField(max_length=100)
    description = forms.CharField(
        required=False, max_length=500, help_text="One line: what the prompts are and what for."
    )
    guidelines = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"class": "tall"}),
        help_text="Markdown. What makes an answer good here? Each later change is a new version, "
        "and each submission records the one in force.",
    )


class ProjectSettingsForm(forms.ModelForm):
    class Meta:
        model = Project
        fields = ["name", "description"]
        widgets = {"description": forms.TextInput}


class GuidelinesForm(forms.Form):
    text = forms.CharField(
        label="Guidelines",
        widget=forms.Textarea(attrs={"class": "tall"}),
        help_text="Markdown. Saved as a new version; earlier submissions keep theirs.",
    )


class _People(forms.ModelMultipleChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.email}" if obj.name else obj.email


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
            "max_answers",
            "order",
            "lease_minutes",
            "skips_to_close",
        ]
        labels = {
            "overlap": "Overlap",
            "source": "Which answer is corrected",
            "source_name": "Author or model",
            "edit_prompt": "The prompt and its context may be corrected too",
            "max_answers": "Most answers to rank at once",
            "order": "Order of the queue",
            "lease_minutes": "Minutes until an untouched claim goes back",
            "skips_to_close": "Skips that close an item",
        }
        help_texts = {
            "instructions": "Markdown, shown beside the work: what is asked, in a few lines.",
            "overlap": "How many people do each item. Two or more let you measure agreement.",
            "source_name": "Only for the answer of a named author or model, e.g. “support-sft”.",
            "max_answers": "2 to 9. Of more answers, the others come in a next round.",
            "skips_to_close": "The item then waits on your list of flagged items.",
        }
        widgets = {"instructions": forms.Textarea(attrs={"rows": 4})}

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
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
            people.initial = [seat.user_id for seat in self.instance.seats.all() if seat.assigned]
            for name in self.other_kinds(self.instance.kind):
                del self.fields[name]
        else:
            kind = self.fields["kind"]
            assert isinstance(kind, forms.TypedChoiceField)
            kind.choices = KINDS

    @staticmethod
    def other_kinds(kind: str) -> list[str]:
        """The fields that mean nothing in a stage of this kind."""
        correct, rank = ["source", "source_name", "edit_prompt"], ["max_answers"]
        return {"correct": rank, "rank": correct}.get(kind, correct + rank)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("everyone") is False and not cleaned.get("people"):
            self.add_error("people", "Tick at least one person, or let everyone work here.")
        if cleaned.get("source") == Stage.Source.ORIGIN and not cleaned.get("source_name"):
            self.add_error("source_name", "Name the author or the model.")
        return cleaned

    def changes(self) -> dict[str, Any]:
        """What the acts take: the fields of the stage, and `people` (None for everyone)."""
        data = dict(self.cleaned_data)
        people = data.pop("people")
        data["people"] = None if data.pop("everyone") else list(people)
        return data
