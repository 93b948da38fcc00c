"""The nouns and their constraints; one file per family of nouns."""

from annotation.models.imports import ColumnMapping, Import
from annotation.models.leading import Action, Activity, Erasure, Measurement
from annotation.models.people import ApiToken, Invitation, Membership, Role, User, Workspace
from annotation.models.projects import GuidelineReading, GuidelineVersion, Project
from annotation.models.prompts import Comment, Origin, Prompt, Response
from annotation.models.review import Adjudication, Gold, Review
from annotation.models.stages import Item, Seat, Stage
from annotation.models.submissions import Ranking, Submission, SubmissionVersion

__all__ = [
    "Action",
    "Activity",
    "Adjudication",
    "ApiToken",
    "ColumnMapping",
    "Comment",
    "Erasure",
    "Gold",
    "GuidelineReading",
    "GuidelineVersion",
    "Import",
    "Invitation",
    "Item",
    "Measurement",
    "Membership",
    "Origin",
    "Project",
    "Prompt",
    "Ranking",
    "Response",
    "Review",
    "Role",
    "Seat",
    "Stage",
    "Submission",
    "SubmissionVersion",
    "User",
    "Workspace",
]
