"""A Hugging Face dataset directory: which files make which split. Pure but for `listing`.

Three forms: a card (README.md) whose front matter names `configs` with `data_files`; data files by
their names (data/train-00000-of-00001.parquet, test.jsonl); `save_to_disk` with its state.json."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any

from annotation.dataset_cards import CARD, front_matter, licence_of
from annotation.errors import Refused

MAX_FILES = 10_000
MAX_DEPTH = 8
PATTERN_LENGTH = 300
MAX_PATTERNS = 200  # with wildcards, in one config: each is compared with every name
KINDS = {
    "parquet": (".parquet",),
    "json": (".jsonl", ".json", ".ndjson", ".jsonl.gz", ".json.gz"),
    "table": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    "text": (".txt", ".txt.gz"),
}
ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
# The words by which the datasets library tells a split from a file's name.
WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
SHARD = re.compile(r"(?:^|/)([\w.]+)-\d{5}-of-\d{5}\.\w+(?:\.gz)?$")
SPLIT = re.compile(r"\w[\w.]{0,59}")


@dataclass(frozen=True)
class Part:
    """One file of a split: its name below the directory, with / between."""

    split: str
    name: str


@dataclass
class Plan:
    """What is read, in this order; `left` are data files that are not."""

    parts: list[Part]
    config: str = ""
    licence: str = ""
    left: list[str] = field(default_factory=list)

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(part.split for part in self.parts if part.split))


def listing(root: Path) -> list[str]:
    """The names of all files below a directory, sorted, without hidden ones.

    Raises Refused for a link that leads out of it, for too many files and for too deep a tree."""
    home = root.resolve()
    found: list[str] = []
    waiting = [(home, 0)]
    while waiting:
        folder, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise Refused(f"The directory is more than {MAX_DEPTH} folders deep.")
        try:
            entries = sorted(folder.iterdir())
        except OSError as error:
            raise Refused(f"The directory cannot be read ({error.strerror or error}).") from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            name = entry.relative_to(home).as_posix()
            inside(home, name)
            if entry.is_symlink() and entry.is_dir():
                raise Refused(f"{name} is a link to a folder: name the folder itself.")
            if entry.is_dir():
                waiting.append((entry, depth + 1))
            elif entry.is_file():
                found.append(name)
            if len(found) > MAX_FILES:
                raise Refused(f"The directory holds more than {MAX_FILES:,} files.")
    return sorted(found)


def inside(root: Path, name: str) -> Path:
    """The file of this name below the directory. Raises Refused if it lies outside of it."""
    check_name(name)
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise Refused(f"{name} leads out of the directory: put the file itself there.")
    return path


def check_name(name: str) -> None:
    """Raises Refused for a name that is absolute or climbs."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not name.isprintable():
        raise Refused(f"“{name[:100]}” is no file below the directory.")


def plan(
    names: Sequence[str],
    read: Callable[[str], str],
    *,
    config: str = "",
    split: str = "",
    arrow: bool = True,
) -> Plan:
    """Which of a directory's files make which split. `read` gives a small text file by its name;
    `arrow`: whether save_to_disk's files are read.

    Raises Refused for a config or split that it does not have, if it has several configs and none
    is named, and for a directory without data."""
    there = set(names)
    card = front_matter(read(CARD)) if CARD in there else {}
    found = _saved(there, read) if arrow else None
    if found is None:
        found = _of_card(names, card, config) or Plan(_by_names(names))
    elif config:
        raise Refused(f"There is no config “{config}”: the directory is one saved dataset.")
    if config and not found.config:
        raise Refused(f"There is no config “{config}”: {CARD} names none.", field="config")
    found.licence = licence_of(card)
    if split:
        splits = found.splits
        found.parts = [part for part in found.parts if part.split == split]
        if not found.parts:
            known = ", ".join(f"“{name}”" for name in splits) or "none by name"
            raise Refused(f"There is no split “{split}”; there are: {known}.", field="split")
    if not found.parts:
        raise Refused(
            "No data files are there: Parquet, JSON Lines, JSON, CSV, TSV or text, plain or "
            + ("gzipped, or what save_to_disk leaves." if arrow else "gzipped.")
        )
    return found


def _saved(names: set[str], read: Callable[[str], str]) -> Plan | None:
    """What Dataset.save_to_disk or DatasetDict.save_to_disk left, if one of them did."""
    if "dataset_dict.json" in names:
        splits = _object(read, "dataset_dict.json").get("splits")
        if not isinstance(splits, list) or not all(isinstance(name, str) for name in splits):
            raise Refused("dataset_dict.json names no splits.")
        parts = [part for name in splits for part in _state(names, read, f"{name}/", name)]
        return Plan(parts)
    if "state.json" in names:
        return Plan(_state(names, read, "", ""))
    return None


def _state(names: set[str], read: Callable[[str], str], folder: str, split: str) -> list[Part]:
    where = f"{folder}state.json"
    check_name(where)
    if where not in names:
        raise Refused(f"{where} is missing: the saved dataset is not whole.")
    state = _object(read, where)
    files = state.get("_data_files")
    split = split or str(state.get("_split") or "")
    parts = []
    for entry in files if isinstance(files, list) else []:
        name = folder + str(entry.get("filename", "") if isinstance(entry, dict) else "")
        check_name(name)
        if name not in names:
            raise Refused(f"{name} is missing: the saved dataset is not whole.")
        parts.append(Part(split, name))
    if state.get("_indices_data_files"):
        raise Refused(f"{where} keeps a selection beside the rows: save it with flatten_indices().")
    return parts


def _object(read: Callable[[str], str], name: str) -> dict[str, Any]:
    try:
        said = json.loads(read(name))
    except (ValueError, RecursionError):
        raise Refused(f"{name} is no JSON.") from None
    if not isinstance(said, dict):
        raise Refused(f"{name} is no JSON object.")
    return said


def _of_card(names: Sequence[str], card: dict[str, Any], wanted: str) -> Plan | None:
    """The files that the card's configs name; none where it names no files."""
    configs = card.get("configs")
    named = {
        str(entry.get("config_name", "default")): entry
        for entry in (configs if isinstance(configs, list) else [])
        if isinstance(entry, dict) and (entry.get("data_files") or entry.get("data_dir"))
    }
    if not named:
        return None
    known = ", ".join(f"“{name}”" for name in named)
    if wanted and wanted not in named:
        raise Refused(f"There is no config “{wanted}”; there are: {known}.", field="config")
    preferred = [name for name, entry in named.items() if entry.get("default") is True]
    config = wanted or (preferred or (["default"] if "default" in named else list(named)))[0]
    if not wanted and len(named) > 1 and not preferred and "default" not in named:
        raise Refused(f"It has several configs, name one: {known}.", field="config")
    entry = named[config]
    base = str(entry.get("data_dir") or "").strip("/")
    files = entry.get("data_files")
    if not files:
        below = [name for name in names if name.startswith(f"{base}/")]
        return Plan(_by_names(below), config=config)
    parts: dict[Part, None] = {}
    there, looked_through = set(names), 0
    for split, patterns in _patterns(files):
        for pattern in patterns:
            wanted = f"{base}/{pattern}" if base else pattern
            found = [wanted] if wanted in there else _matching(names, wanted)
            looked_through += wanted not in there
            if looked_through > MAX_PATTERNS:
                raise Refused(f"{CARD} names more than {MAX_PATTERNS} patterns of files.")
            parts |= dict.fromkeys(Part(split, name) for name in found)
    return Plan(list(parts), config=config)


def _patterns(files: Any) -> Iterable[tuple[str, list[str]]]:
    """(split, patterns) of a card's data_files, in each of its spellings. Raises Refused."""
    entries = files if isinstance(files, list) else [files]
    if isinstance(files, dict):
        entries = [{"split": split, "path": paths} for split, paths in files.items()]
    if all(isinstance(entry, str) for entry in entries):
        entries = [{"split": "train", "path": entries}]
    for entry in entries:
        path = entry.get("path") if isinstance(entry, dict) else None
        split = str(entry.get("split", "train")) if isinstance(entry, dict) else ""
        patterns = [path] if isinstance(path, str) else path
        if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
            raise Refused(f"{CARD} names data_files in a form that is not known.")
        if not SPLIT.fullmatch(split):
            raise Refused(f"{CARD} names a split “{split[:60]}”: letters, digits, _ and . only.")
        yield split, patterns


def _matching(names: Sequence[str], pattern: str) -> list[str]:
    """The files that a pattern of the card means. Raises Refused if there is none."""
    if "://" in pattern:
        raise Refused(f"{CARD} names data elsewhere ({pattern[:100]}): nothing else is fetched.")
    check_name(pattern)
    if len(pattern) > PATTERN_LENGTH:
        raise Refused(f"{CARD} names a file of more than {PATTERN_LENGTH} characters.")
    segments = pattern.removeprefix("./").split("/")
    found = [name for name in names if _match(segments, name.split("/"))]
    if not found:
        raise Refused(f"{CARD} names “{pattern[:100]}”, and no file is there by that name.")
    return found


def _match(pattern: list[str], name: list[str]) -> bool:
    """* and ? within a folder's name, ** over folders."""
    reached = {0}
    for segment in pattern:
        if segment == "**":
            reached = set(range(min(reached), len(name) + 1)) if reached else set()
        else:
            reached = {
                at + 1 for at in reached if at < len(name) and fnmatchcase(name[at], segment)
            }
    return len(name) in reached


def _by_names(names: Sequence[str]) -> list[Part]:
    """Without a card: the files of the kind that most are of, split by their names."""
    kinds = {name: kind for name in names if (kind := _kind(name))}
    if not kinds:
        return []
    count = Counter(kinds.values())
    most = max(KINDS, key=lambda kind: count[kind])
    parts = [Part(_split_of(name), name) for name in names if kinds.get(name) == most]
    order = {"train": 0, "validation": 1, "test": 2}
    return sorted(parts, key=lambda part: (order.get(part.split, 3), part.split, part.name))


def _kind(name: str) -> str:
    last = name.rsplit("/", 1)[-1]
    if last in ABOUT:
        return ""
    low = last.lower()
    return next((kind for kind, endings in KINDS.items() if low.endswith(endings)), "")


def _split_of(name: str) -> str:
    """By the shard's name, else by a word in the file's or a folder's name, else train."""
    if match := SHARD.search(name):
        return WORDS.get(match[1].lower(), match[1])
    words = [
        word for part in reversed(name.lower().split("/")) for word in re.split(r"[\W_\d]+", part)
    ]
    return next((WORDS[word] for word in words if word in WORDS), "train")
