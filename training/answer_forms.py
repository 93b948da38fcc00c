"""The forms that let a finished model answer a project's prompts."""

from typing import Any

from django import forms

from annotation.models import Project, Workspace
from training.forms import ModelField, finished
from training.inputs import LANGUAGE, base_models


class AnswerForm(forms.Form):
    """Which project's prompts a finished model is to answer, and how many of them."""

    project = forms.ModelChoiceField(Project.objects.none(), empty_label=None)
    limit = forms.IntegerField(
        min_value=1,
        required=False,
        label="At most",
        help_text="Empty: all that it has not answered",
    )

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        projects = workspace.projects.filter(archived=None).order_by("name")
        self.fields["project"].queryset = projects  # type: ignore[attr-defined]


class ProjectAnswerForm(forms.Form):
    """Which finished model is to answer this project's prompts."""

    model = ModelField()
    limit = AnswerForm.base_fields["limit"]

    def __init__(self, *args: Any, workspace: Workspace, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model = self.fields["model"]
        assert isinstance(model, ModelField)
        model.offer(
            [
                ("Runs of this workspace", finished(workspace, *LANGUAGE)),
                ("Base models", base_models()),
            ]
        )
        self.has_model = bool(model.given)
