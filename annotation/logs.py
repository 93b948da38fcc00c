"""One JSON object a line: what operators' tools read."""

import json
import logging
import re
from datetime import UTC, datetime

from django.core.exceptions import PermissionDenied

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# Addresses that let in whoever has them: an invitation's, and the one that resets a password.
_SECRET_PATHS = re.compile(r"""(/join/|/password/reset/[^/\s"'\\]+/)[^/\s"'\\]+""")


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, whatever was passed as `extra`, and the traceback; of a
    refused permission, which is no fault of the code, the `reason` in its place. Without the
    secrets in addresses, which Django logs when it refuses a request."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info and isinstance(record.exc_info[1], PermissionDenied):
            line["reason"] = str(record.exc_info[1])
        elif record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str, ensure_ascii=False)
        return _SECRET_PATHS.sub(r"\1…", text)
