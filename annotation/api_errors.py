"""A refusal as a program sees it: a status and {"detail": "…"}, in the words of the pages."""

from typing import Any

from django.core.exceptions import RequestDataTooBig
from rest_framework import status
from rest_framework.response import Response
from rest_framework.views import exception_handler

from annotation.errors import Refused
from annotation.importing import Busy

MOST_ROWS = 1_000  # refused rows named in one answer


def handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Refused: 400; busy, try again: 409; too much in one request: 413; the rest as usual."""
    if isinstance(error, Busy):
        return Response({"detail": str(error)}, status=status.HTTP_409_CONFLICT)
    if isinstance(error, Refused):
        body: dict[str, Any] = {"detail": str(error)}
        if error.rows:
            body["refused"] = error.rows[:MOST_ROWS]
        return Response(body, status=status.HTTP_400_BAD_REQUEST)
    if isinstance(error, RequestDataTooBig):
        detail = "Too much for one request: send fewer prompts at a time, or import a file."
        return Response({"detail": detail}, status=status.HTTP_413_REQUEST_ENTITY_TOO_LARGE)
    return exception_handler(error, context)
