"""The nouns and their constraints; one file per family of nouns."""

from annotation.models.imports import Import
from annotation.models.people import ApiToken, Invitation, Membership, Role, User, Workspace
from annotation.models.projects import GuidelineVersion, Project
from annotation.models.prompts import Origin, Prompt, Response
from annotation.models.stages import Item, Seat, Stage
from annotation.models.submissions import Ranking, Submission, SubmissionVersion

__all__ = [
    "ApiToken",
    "GuidelineVersion",
    "Import",
    "Invitation",
    "Item",
    "Membership",
    "Origin",
    "Project",
    "Prompt",
    "Ranking",
    "Response",
    "Role",
    "Seat",
    "Stage",
    "Submission",
    "SubmissionVersion",
    "User",
    "Workspace",
]
