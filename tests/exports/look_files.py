"""A small look written by hand, in the files that exports/looks.py leaves."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from exports.shelf import MARKS, NONE, TEXTS, Mark

NUMBERS = ("length", "other", "agreement", "prompt_length", "group")


def write_look(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """`rows`: facets by name (lists for those with several values), and besides "texts" (question,
    answer), "twin", "prompt", "responses" and "annotators" where they matter. A row without texts
    was never made."""
    folder.mkdir(parents=True)
    names = {name for row in rows for name in row} - {
        "texts", "twin", "prompt", "responses", "annotators"
    }  # fmt: skip
    names |= {"reason"}
    columns, facets = {}, []
    for name in sorted(names):
        values = [row.get(name, "" if name == "reason" else None) for row in rows]
        if name in (*NUMBERS, "day"):
            columns[name] = pa.array(values, pa.int32())
            kind = "day" if name == "day" else "number"
        elif any(isinstance(value, list) for value in values):
            each = [value or [None] for value in values]
            ends = np.cumsum([0, *map(len, each)], dtype=np.int32)
            words = pa.array([word for value in each for word in value], pa.string())
            columns[name] = pa.ListArray.from_arrays(pa.array(ends), words.dictionary_encode())
            kind = "terms"
        else:
            columns[name] = pa.array(values, pa.string()).dictionary_encode()
            kind = "terms"
        if name != "group":
            facets.append({"name": name, "title": name.capitalize(), "type": kind})
    table = pa.table(columns)
    file = pa.OSFile(str(folder / "facets.arrow"), "wb")
    with file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    (folder / "look.json").write_bytes(orjson.dumps({"rows": len(rows), "facets": facets}))
    marks, texts = b"", b""
    for number, row in enumerate(rows, 1):
        row_text, provenance = _row(row), _provenance(number, row)
        marks += Mark(
            number,
            key=b"",
            digest=b"",
            prompt=row.get("prompt", 0),
            place=len(texts),
            size=len(row_text),
            told=len(provenance),
            length=row.get("length") or 0,
            other=NONE,
            split=0,
            project=0,
            source=0,
            twin=row.get("twin", 0),
            reason=1 if row.get("reason") else 0,
        ).packed()
        texts += row_text + provenance
    (folder / MARKS).write_bytes(marks)
    (folder / TEXTS).write_bytes(texts)
    return folder


def _row(row: dict[str, Any]) -> bytes:
    if "texts" not in row:
        return b""
    question, answer = row["texts"]
    return orjson.dumps(
        {
            "prompt": [{"role": "user", "content": question}],
            "completion": [{"role": "assistant", "content": answer}],
        }
    )


def _provenance(number: int, row: dict[str, Any]) -> bytes:
    return orjson.dumps(
        {
            "project": "support-desk", "external_id": f"q-{number}", "prompt": row.get("prompt", 0),
            "responses": row.get("responses", []), "submissions": [],
            "annotators": row.get("annotators", []), "guidelines": [],
        }
    )  # fmt: skip
