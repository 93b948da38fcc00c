"""What people type to get in, to get others in, and about themselves."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm, UsernameField
from django.contrib.auth.password_validation import (
    password_validators_help_text_html,
    validate_password,
)

from annotation import leave, zones
from annotation.models import Membership, Role, Stage, User, Workspace


class LoginForm(AuthenticationForm):
    """The address in lower case, so that one person is one name to the throttle too."""

    username = UsernameField(
        label="E-mail address",
        widget=forms.EmailInput(attrs={"autofocus": True, "autocomplete": "username"}),
    )
    error_messages = {
        **AuthenticationForm.error_messages,
        "invalid_login": "This address and this password do not belong together. "
        "Mind upper and lower case in the password.",
    }

    def clean_username(self) -> str:
        return str(self.cleaned_data["username"]).strip().lower()


class WorkspaceForm(forms.Form):
    name = forms.CharField(
        max_length=100, help_text="A team's or a company's name. You become its owner."
    )
    slug = forms.SlugField(
        label="Short name",
        required=False,
        help_text="Stands in addresses. It decides the workspace's splits and cannot be changed; "
        "left empty, it is made from the name.",
    )

    def clean_slug(self) -> str:
        slug = str(self.cleaned_data["slug"]).lower()
        if slug and Workspace.objects.filter(slug=slug).exists():
            raise forms.ValidationError("This short name is taken: choose another one.")
        return slug


class InviteForm(forms.Form):
    """The roles offered are those that the person who invites may give."""

    email = forms.EmailField(label="E-mail address", widget=forms.EmailInput)
    role = forms.TypedChoiceField(coerce=lambda value: Role(int(value)))

    def __init__(self, *args: Any, roles: list[Role], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["role"].choices = [  # type: ignore[attr-defined]
            (role.value, role.label) for role in roles
        ]


class RoleForm(forms.Form):
    role = forms.TypedChoiceField(
        choices=Role.choices,
        coerce=lambda value: Role(int(value)),
        error_messages={"invalid_choice": "There is no such role."},
    )


class NewPersonForm(forms.Form):
    """A name and a password, held to the same rules as everywhere."""

    name = forms.CharField(max_length=100, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text=password_validators_help_text_html(),
    )

    def __init__(self, *args: Any, email: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.email = email

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if password := cleaned.get("password"):
            person = User(email=self.email, name=cleaned.get("name", ""))
            try:
                validate_password(password, person)
            except forms.ValidationError as error:
                self.add_error("password", error)
        return cleaned


class AccountForm(forms.ModelForm):
    timezone = forms.ChoiceField(
        label="Time zone",
        required=False,
        choices=lambda: [("", "the server's"), *((name, name) for name in zones.names())],
        help_text="Days, hours and your pace are shown in it.",
    )

    class Meta:
        model = User
        fields = ["name", "timezone"]


class LeaveForm(forms.ModelForm):
    """Both days included; dates as browsers send them."""

    class Meta:
        model = Membership
        fields = ["away_from", "away_until"]
        labels = {"away_from": "From", "away_until": "To, that day included"}
        help_texts = {"away_until": "Empty: until further notice."}
        widgets = {
            name: forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
            for name in ("away_from", "away_until")
        }


class _Person(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj} · {obj.email}" if obj.name else obj.email


class HandOverForm(forms.Form):
    """To whom, and of which stage."""

    stage = forms.ModelChoiceField(
        queryset=Stage.objects.none(), required=False, empty_label="all stages"
    )
    to = _Person(
        queryset=User.objects.none(),
        required=False,
        label="To",
        empty_label="back to the queue, for whoever comes",
    )

    def __init__(self, *args: Any, member: Membership, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = member.workspace.memberships.filter(is_active=True).exclude(pk=member.pk)
        here = [each.user_id for each in others.select_related("user") if not leave.is_away(each)]
        people = User.objects.filter(pk__in=here, is_active=True).order_by("name")
        stages = Stage.objects.filter(project__workspace=member.workspace)
        self.fields["to"].queryset = people  # type: ignore[attr-defined]
        self.fields["stage"].queryset = stages  # type: ignore[attr-defined]


class TokenForm(forms.Form):
    name = forms.CharField(
        label="What is it for?", max_length=100, help_text="The name of the script or the machine."
    )
