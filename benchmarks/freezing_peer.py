"""Label Studio exports the sft texts of freezing.py, by requests to its API.

    .venv/bin/python benchmarks/freezing_peer.py VENV ROWS [jsonl|csv …] [SECONDS]

VENV holds label-studio 1.23.2, served as importing_peer.py does. The tasks come in with an
annotation each, 5,000 a request, which is not measured; then each format is exported by one
request: its JSON beside our JSONL, its CSV beside ours. CPU and memory are those of the server's
processes, from before the request to after its answer. Prints the rows that freezing.py prints; an
export that takes more than SECONDS (1,800) is an error."""

import http.client
import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[0] = str(HERE.parent)
TOGETHER = 5_000  # tasks of one import
EXPORTS = {"jsonl": "JSON", "csv": "CSV"}


def main() -> None:
    asked = sys.argv[3:]
    wait = float(asked.pop()) if asked and asked[-1].isdecimal() else 1800.0
    peer = runpy.run_path(str(HERE / "importing_peer.py"))
    bench = runpy.run_path(str(HERE / "freezing.py"))
    rows, formats = int(sys.argv[2]), asked or list(EXPORTS)
    with peer["served"](Path(sys.argv[1]).resolve()) as (port, pid):
        project = filled(peer, bench, port, rows, wait)
        print(json.dumps([exported(peer, port, pid, project, rows, f, wait) for f in formats]))


def filled(peer: Any, bench: Any, port: int, rows: int, wait: float) -> int:
    """A project with that many annotated tasks; its number."""
    call = peer["call"]
    settings = {"title": "Frozen", "label_config": peer["CONFIG"]}
    project: int = call(port, "POST", "/api/projects/", settings)[1]["id"]
    texts, lengths = bench["Texts"](), bench["LENGTHS"]["sft"]
    for first in range(0, rows, TOGETHER):
        numbers = range(first, min(first + TOGETHER, rows))
        body = peer["tasks"](texts.row(number, lengths) for number in numbers)
        peer["take"](port, project, body, wait)
    return project


def exported(
    peer: Any, port: int, pid: int, project: int, rows: int, form: str, wait: float
) -> dict[str, Any]:
    """One request for all tasks, read to its end and thrown away."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    start, spent, began = peer["resident"](pid, "VmRSS"), peer["cpu_of"](pid), time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=wait)
    path = f"/api/projects/{project}/export?exportType={EXPORTS[form]}&download_all_tasks=true"
    connection.request("GET", path, headers={"Authorization": f"Token {peer['TOKEN']}"})
    answer = connection.getresponse()
    size, tail = 0, b""
    while piece := answer.read(1 << 20):
        size, tail = size + len(piece), piece
    connection.close()
    seconds, spent = time.monotonic() - began, peer["cpu_of"](pid) - spent
    if answer.status != 200:
        raise SystemExit(f"The export answered {answer.status}: {tail[:200]!r}")
    if size < 500 * rows:  # each row has about 600 characters
        raise SystemExit(f"The export has {size} bytes for {rows} rows: not all of them.")
    return {
        "database": "sqlite",
        "tool": "label-studio",
        "rows": rows,
        "kind": "sft",
        "dedup": "none",
        "format": form,
        "bytes": size,
        "cpu_s": round(spent, 2),
        "seconds": round(seconds, 2),
        "start_mib": round(start, 1),
        "peak_mib": round(peer["resident"](pid, "VmHWM"), 1),
        "rows_per_cpu_s": round(rows / max(spent, 0.001)),
        "load1": round(os.getloadavg()[0], 1),
    }


if __name__ == "__main__":
    main()
