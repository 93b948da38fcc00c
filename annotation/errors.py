"""The one exception of this app: an act that is refused, in words for the person who asked."""

from typing import Any


class Refused(Exception):
    """Says what was refused, why, and what to do instead. Pages show it, the API answers 400.

    `rows`: where many were handed in, [{"line", "reason"}] of those that were refused. `field`:
    the one that is wrong, where a form has several; the message stands beside it. `fields`: all
    that are wrong, {field: message}, the first of them `field`."""

    def __init__(
        self,
        message: str,
        rows: list[dict[str, Any]] | None = None,
        field: str = "",
        fields: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.rows = rows or []
        self.fields = fields or ({field: message} if field else {})
        self.field = next(iter(self.fields), "")
