"""Which submissions a share draws for review: by their number, the same in Python and in SQL."""

from annotation.models import Stage

# Knuth's multiplicative hash; uniform from 0 to SPACE - 1 over any run of numbers.
SPACE = 1 << 32
BY_NUMBER = f"((id * 2654435761) %% {SPACE})"


def threshold(stage: Stage) -> int:
    """A submission is drawn if the hash of its number is below this."""
    return stage.review_share * SPACE // 100
