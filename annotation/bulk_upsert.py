"""Many prompts in one request: each row checked, then all through the importer, one report."""

from typing import Any

from rest_framework.exceptions import ValidationError

from annotation import importing
from annotation.errors import Refused
from annotation.importing import Answer, RankingIn, Record
from annotation.models import Project, User
from annotation.serializers import PromptIn, PromptsIn

MOST = 10_000  # rows a request
PATIENCE = 5.0  # seconds for which a request waits for another import to end


def upsert(*, project: Project, user: User, data: Any) -> dict[str, Any]:
    """The importer's report, its lines counted from 1 as the rows were sent.

    All or nothing unless `skip_bad`: raises Refused, which names every refused row."""
    rows = data.get("prompts") if isinstance(data, dict) else None
    if not isinstance(rows, list) or not rows:
        raise ValidationError({"prompts": "Send a list of at least one prompt."})
    if len(rows) > MOST:
        raise ValidationError({"prompts": f"{MOST:,} at a time at most; {len(rows):,} were sent."})
    frame = PromptsIn(data={**data, "prompts": [{}]})
    frame.is_valid(raise_exception=True)
    skip_bad = frame.validated_data["skip_bad"]
    records: list[Record] = []
    lines: list[int] = []
    bad: list[dict[str, Any]] = []
    for line, row in enumerate(rows, 1):
        sent = PromptIn(data=row)
        if sent.is_valid():
            records.append(_record(sent.validated_data))
            lines.append(line)
        else:
            bad.append({"line": line, "reason": _reason(sent.errors)})
    if bad and not skip_bad:
        first = f"row {bad[0]['line']}: {bad[0]['reason']}"
        raise Refused(f"Nothing was taken: {len(bad)} of {len(rows)} refused. First, {first}", bad)
    report = importing.add_records(
        project=project,
        records=records,
        source=frame.validated_data["source"],
        user=user,
        skip_bad=skip_bad,
        patience=PATIENCE,
    )
    for entry in [*report["refused"], *report["notes"]]:
        if entry["line"]:
            entry["line"] = lines[entry["line"] - 1]
    report["refused"] = sorted([*report["refused"], *bad], key=lambda entry: entry["line"] or 0)
    report["rows"] += len(bad)
    return report


def _record(row: dict[str, Any]) -> Record:
    return Record(
        external_id=row["external_id"].strip(),
        messages=row["messages"],
        system=row["system"],
        context=row["context"],
        tools=row["tools"],
        metadata=row["metadata"],
        answers=[Answer(**answer) for answer in row["answers"]],
        rankings=[RankingIn(**ranking) for ranking in row["rankings"]],
    )


def _reason(errors: Any) -> str:
    """The first thing that is wrong, with where it stands: "answers, 2, text: this is needed"."""
    where: list[str] = []
    while isinstance(errors, dict | list):
        if isinstance(errors, dict):
            key, errors = next(iter(errors.items()))
            if key != "non_field_errors":
                where.append(str(key + 1 if isinstance(key, int) else key))
            continue
        place = next(index for index, error in enumerate(errors) if error)
        if isinstance(errors[place], dict | list):
            where.append(str(place + 1))
        errors = errors[place]
    return f"{', '.join(where)}: {errors}" if where else str(errors)
