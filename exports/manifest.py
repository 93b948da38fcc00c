"""`manifest.sha256` of a snapshot: a line `sha256  path` for each of its other files, sorted by
path, as `sha256sum` prints it; `sha256sum -c manifest.sha256` checks the same without us.

The snapshot's own sha256 stays that of `data/`. The manifest's goes into the snapshot's row, as
whoever can change a card can change the manifest beside it."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from exports.files import hash_file

NAME = "manifest.sha256"
NONE = (
    f"It was frozen before there was a {NAME}: README.md, the plots and snapshot.json "
    "are not checked."
)
_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def write(directory: Path, known: Mapping[str, str]) -> str:
    """Write it, after all other files, and return its own sha256. `known`: hashes by path that need
    not be taken again."""
    paths = (path for path in directory.rglob("*") if path.is_file())
    names = sorted(path.relative_to(directory).as_posix() for path in paths)
    lines = [
        f"{known.get(name) or hash_file(directory / name)}  {name}\n"
        for name in names
        if name != NAME
    ]
    text = "".join(lines)
    (directory / NAME).write_text(text, "utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def is_there(directory: Path) -> bool:
    return (directory / NAME).is_file()


def check(directory: Path, known: Mapping[str, str], sha256: str = "") -> list[str]:
    """What is wrong with the files that it names, in words. `known`: by path what snapshot.json
    says of files that were hashed against it already; `sha256`: the manifest's own."""
    if not is_there(directory):
        return [f"{NAME} is missing."] if sha256 else []
    if sha256 and (now := hash_file(directory / NAME)) != sha256:
        return [f"{NAME} has changed: its sha256 is {now}, not {sha256}."]
    wrong, seen = [], set()
    for line in (directory / NAME).read_text("utf-8", "replace").splitlines():
        if not (found := _LINE.fullmatch(line)):
            wrong.append(f"{NAME} has a line that is no sha256 and path: {line[:80]!r}.")
            continue
        due, name = found.groups()
        seen.add(name)
        if name in known:
            if due != known[name]:
                wrong.append(f"{NAME} and snapshot.json say different hashes of {name}.")
        elif not (directory / name).is_file():
            wrong.append(f"{name} is missing.")
        elif (now := hash_file(directory / name)) != due:
            wrong.append(f"{name} has changed: its sha256 is {now}, not {due}.")
    wrong += [f"{NAME} does not name {name}." for name in sorted(set(known) - seen)]
    return wrong
