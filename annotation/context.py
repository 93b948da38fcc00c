"""What every page's frame needs: the links that settings name, for the workspace at hand."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from annotation.models import Role


def navigation(request: HttpRequest) -> dict[str, Any]:
    """`nav`: [{label, url}] for leads of the current workspace; `workspace` and `role`."""
    workspace = getattr(request, "workspace", None)
    role = getattr(request, "role", None)
    if workspace is None or role is None or role < Role.LEAD:
        return {"workspace": workspace, "role": role, "nav": []}
    nav = [
        {"label": label, "url": reverse(name, args=[workspace.slug])}
        for label, name in settings.NAVIGATION
    ]
    return {"workspace": workspace, "role": role, "nav": nav}
