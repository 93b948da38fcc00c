"""Remarks on a prompt: the only writer of comments."""

from django.db.models import QuerySet
from django.utils import timezone

from annotation.content import checked_text
from annotation.errors import Refused
from annotation.models import Comment, Prompt, User

MAX_COMMENT = 20_000  # characters


def add(*, prompt: Prompt, author: User, text: str) -> Comment:
    """Raises Refused for an empty text, a too long one, or one that no database stores."""
    clean = checked_text(text, "comment").strip()
    if len(clean) > MAX_COMMENT:
        raise Refused(
            f"The comment has {len(clean):,} characters; at most {MAX_COMMENT:,}.", field="comment"
        )
    return Comment.objects.create(prompt=prompt, author=author, text=clean)


def withdraw(*, comment: Comment, author: User) -> None:
    """Its author takes it back. Raises Refused for anybody else."""
    mine = Comment.objects.filter(pk=comment.pk, author=author, withdrawn=None)
    if not mine.update(withdrawn=timezone.now()):
        raise Refused("Only its author withdraws a comment, and only once.")


def of(prompt: Prompt) -> "QuerySet[Comment]":
    """The prompt's comments, oldest first."""
    return prompt.comments.filter(withdrawn=None).select_related("author").order_by("pk")
