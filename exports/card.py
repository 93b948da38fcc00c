"""A snapshot's README.md: a Hugging Face dataset card. Pure."""

from typing import Any

import yaml

from exports.formats import KINDS
from exports.splits import SPLITS

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_COLUMNS = {
    "sft": "`prompt` (the conversation so far) and `completion` (the answer to learn)",
    "preference": "`prompt`, `chosen` (the better answer) and `rejected` (the worse one)",
    "prompts": "`prompt`, to be answered while learning",
}


def _table(head: tuple[str, str], rows: dict[str, int]) -> str:
    lines = [f"| {head[0]} | {head[1]} |", "|---|---:|"]
    return "\n".join(lines + [f"| {name} | {count:,} |" for name, count in rows.items()])


def render(facts: dict[str, Any]) -> str:
    """`facts` is what snapshot.json holds. The front matter names the data files, so that
    `load_dataset(DIR)` reads them and nothing else; an empty split has no place in it."""
    counts = facts["counts"]
    total = sum(counts.values())
    matter = {
        "pretty_name": facts["name"],
        "size_categories": [next((name for top, name in _SIZES if total < top), "1M<n<10M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": split, "path": f"data/{split}-*.parquet"}
                    for split in SPLITS
                    if counts[split]
                ],
            }
        ],
    }
    kind = facts["kind"]
    parts = [
        "---\n" + yaml.safe_dump(matter, sort_keys=False, allow_unicode=True) + "---",
        f"# {facts['name']}, version {facts['number']}",
        f"Kind `{kind}`: {KINDS[kind][0]}. Columns: {_COLUMNS[kind]}; each a list of messages "
        "`{role, content}`, as TRL reads them."
        + (" `margin` says by how much." if "margin" in facts["columns"] else ""),
        _table(("split", "rows"), counts),
        f"From {facts['stats']['prompts']:,} prompts. A conversation stands in one split, decided "
        "by a hash of its first turn.",
    ]
    if empty := [split for split in SPLITS if not counts[split]]:
        parts.append(f"No conversation fell into {' or '.join(empty)}.")
    if wins := facts["stats"].get("longer_wins"):
        parts.append(
            f"The longer answer is the chosen one in {wins['share']:.0%} of {wins['pairs']:,} "
            f"pairs (95 % interval {wins['low']:.0%} to {wins['high']:.0%}); a model must beat it."
        )
    if facts["dropped"]:
        parts += ["## Left out", _table(("because", "rows"), facts["dropped"])]
    parts += [
        "## Where it comes from",
        f"Frozen by Annotune from {', '.join(facts['selection']['projects'])}; the selection "
        "stands in `snapshot.json`, each row's origin in `provenance.parquet` (annotators under "
        "pseudonyms).",
        f"sha256 of the data: `{facts['sha256']}`, taken over the sorted output of "
        "`sha256sum data/*.parquet`.",
    ]
    return "\n\n".join(parts) + "\n"
