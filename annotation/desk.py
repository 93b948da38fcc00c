"""A desk: one person at one stage, with all that a turn at work needs to know of both."""

from dataclasses import dataclass

from annotation import rows
from annotation.models import Project, Role, Seat, Stage, User, Workspace
from annotation.rounds import WORKED
from annotation.rubric import in_force


@dataclass
class Desk:
    """`role` is none for a stranger, `seat` none before the first turn."""

    stage: Stage  # with its project and workspace
    user: User
    role: Role | None
    seat: Seat | None

    @property
    def refusal(self) -> str:
        """Why this person gets no work here, in words; empty if they may work."""
        stage = self.stage
        if stage.kind not in WORKED or stage.state == Stage.State.IMPORTED:
            return "Nobody works in this stage: it holds what was done elsewhere."
        if stage.state != Stage.State.OPEN:
            return "This stage is paused. What you have written is kept."
        if stage.project.archived:
            return "This project is archived. What you have written is kept."
        if self.role is None:
            return "You are not in this workspace."
        if not stage.open_to_all and not (self.seat and self.seat.assigned):
            return (
                "This stage is for chosen people, and you are not among them: ask a lead. What you "
                "have written is kept."
            )
        if stage.kind == Stage.Kind.RATE and not in_force(stage.rubric):
            return "This stage has no questions yet: a lead writes them into its rubric."
        return ""

    @property
    def submitted(self) -> int:
        """How many items of the stage this person has handed in."""
        return self.seat.submitted if self.seat else 0

    def count_submitted(self) -> None:
        """One more was handed in since the desk was read; submissions.py wrote it down."""
        if self.seat:
            self.seat.submitted += 1


def find(stage: int, user: User) -> Desk | None:
    """The desk, read at once; none if there is no such stage."""
    found = rows.read(
        """SELECT {s}, {p}, {w}, {seat}, m.role
           FROM annotation_stage s
           JOIN annotation_project p ON p.id = s.project_id
           JOIN annotation_workspace w ON w.id = p.workspace_id
           LEFT JOIN annotation_membership m
             ON m.workspace_id = w.id AND m.user_id = %(user)s AND m.is_active
           LEFT JOIN annotation_seat seat ON seat.stage_id = s.id AND seat.user_id = %(user)s
           WHERE s.id = %(stage)s""",
        {"stage": stage, "user": user.pk},
        s=Stage,
        p=Project,
        w=Workspace,
        seat=Seat,
    )
    if not found:
        return None
    row, project, workspace, seat, role = found[0]
    project.workspace = workspace
    row.project = project
    if seat:
        seat.stage, seat.user = row, user
    return Desk(row, user, Role(role) if role else None, seat)


def at(stage: Stage, user: User) -> Desk:
    """The desk of a stage that is known to be there."""
    found = find(stage.pk, user)
    if found is None:
        raise Stage.DoesNotExist
    return found
