"""A snapshot's README.md: a Hugging Face dataset card. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from exports import rule_words
from exports.formats import KINDS
from exports.personal import in_rows
from exports.splits import SPLITS

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_COLUMNS = {
    "sft": "`prompt` (the conversation so far) and `completion` (the answer to learn)",
    "preference": "`prompt`, `chosen` (the better answer) and `rejected` (the worse one)",
    "unpaired": "`prompt`, `completion`, and `label` (whether the completion is good)",
    "prompts": "`prompt`, to be answered while learning",
    "text": "`text`, a document each",
    "labels": "`text` and `label`",
}
_PERSONAL = {
    "keep": "Nothing was done about personal data: e-mail addresses, phone numbers and the like "
    "stand in the rows as they came.",
    "mask": "Personal data ({kinds}) were looked for by patterns, and what was found is masked, as "
    "`[EMAIL]`; patterns find neither names nor everything else.",
    "drop": "Rows in which patterns found personal data ({kinds}) were left out; patterns find "
    "neither names nor everything else.",
}
# Rules whose words say again what their title says.
_SAYS_ITSELF = {
    "answers", "best_ranked", "best_rated", "include_imported", "corrections_as_pairs",
    "boilerplate", "personal", "near", "near_test", "max_per_prompt", "max_annotator",
    "max_longer", "test",
}  # fmt: skip
# Ids that the Hub takes as a licence; another word is told as `other`.
_HUB = {
    "apache-2.0", "mit", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0",
    "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "odc-by", "odbl", "pddl", "gpl-3.0",
    "bsd-3-clause", "bsd-2-clause", "unlicense", "openrail", "cdla-permissive-2.0",
}  # fmt: skip


def plain(text: str) -> str:
    """Text of others in a line or a cell of Markdown: no mark-up of it counts."""
    folded = " ".join(text.split())
    return "".join("\\" + sign if sign in r"\`*_[]<>|#!~&" else sign for sign in folded)


def _table(head: tuple[str, ...], rows: Iterator[tuple[Any, ...]] | list[tuple[Any, ...]]) -> str:
    """The first column is text, the others are numbers."""
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    for first, *rest in rows:
        cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in rest]
        lines.append("| " + " | ".join([plain(str(first)), *cells]) + " |")
    return "\n".join(lines)


def _share(part: int, whole: int) -> str:
    """A per cent that never says 0 of what is there, nor 100 of what is not all."""
    share = 100 * part / max(whole, 1)
    if 0 < share < 0.1 or 99.9 < share < 100:
        return "less than 0.1 %" if share < 1 else "more than 99.9 %"
    return f"{share:.1f} %".replace(".0 %", " %")


def licence(stats: Mapping[str, Any]) -> str:
    """For the front matter: the one licence of all rows that the Hub has a name for, else `other`,
    or nothing where no row was imported."""
    groups = stats.get("licences") or []
    if not any(group["imported"] for group in groups):
        return ""
    names = {
        each["licence"].lower().replace(" ", "-")
        for group in groups
        for each in group["licences"] or [{"licence": ""}]
    }
    return names.pop() if len(names) == 1 and names <= _HUB else "other"


def render(facts: Mapping[str, Any], plots: Mapping[str, str] | None = None) -> str:
    """`facts` is what snapshot.json holds; `plots`: {path: what it shows}. The front matter names
    the data files, so that `load_dataset(DIR)` reads them and nothing else; an empty split has no
    place in it."""
    matter = _front(facts)
    parts = [
        "---\n" + yaml.safe_dump(matter, sort_keys=False, allow_unicode=True) + "---",
        f"# {plain(facts['name'])}, version {facts['number']}",
        *_rows(facts),
        *_answers(facts),
        *_work(facts),
        *_agreement(facts),
        *_licences(facts),
        *_rules(facts),
    ]
    parts += [f"![{plain(title)}]({path})" for path, title in (plots or {}).items()]
    parts += [
        "## Where it comes from",
        f"Frozen by Annotune from {', '.join(facts['selection']['projects'])}; the selection "
        "stands in `snapshot.json`, each row's origin in `provenance.parquet` (annotators under "
        "pseudonyms), what was left out and why in `dropped.parquet`.",
        f"sha256 of the data: `{facts['sha256']}`, taken over the sorted output of "
        "`sha256sum data/*.parquet`.",
    ]
    return "\n\n".join(parts) + "\n"


def _front(facts: Mapping[str, Any]) -> dict[str, Any]:
    counts = facts["counts"]
    total = sum(counts.values())
    matter: dict[str, Any] = {"pretty_name": facts["name"]}
    if name := licence(facts["stats"]):
        matter["license"] = name
    if found := _languages(facts["stats"]):
        matter["language"] = found
    matter["size_categories"] = [next((name for top, name in _SIZES if total < top), "1M<n<10M")]
    files = [
        {"split": split, "path": f"data/{split}-*.parquet"} for split in SPLITS if counts[split]
    ]
    # `datasets` caches what it has read by the folder's name and this block alone: without the
    # hash, v1 of one dataset would be read as v1 of another.
    said = f"sha256 {facts['sha256']}"
    config = {"config_name": "default", "description": said, "data_files": files}
    matter["configs"] = [config]
    return matter


def _languages(stats: Mapping[str, Any]) -> list[str]:
    """Those of at least a per cent of the rows: of fewer, some are guessed wrong."""
    found = stats.get("languages", {})
    least = sum(found.values()) / 100
    return [code for code, rows in found.items() if code and rows >= least]


def _rows(facts: Mapping[str, Any]) -> Iterator[str]:
    kind, counts, stats = facts["kind"], facts["counts"], facts["stats"]
    messages = "; each a list of messages `{role, content}`, as TRL reads them"
    yield (
        f"Kind `{kind}`: {KINDS[kind][0]}. Columns: {_COLUMNS[kind]}"
        + ("." if kind in ("text", "labels") else f"{messages}.")
        + (" `margin` says by how much." if "margin" in facts["columns"] else "")
    )
    yield _table(("split", "rows"), list(counts.items()))
    yield (
        f"From {stats['prompts']:,} prompts. A conversation stands in one split, decided "
        "by a hash of its first turn."
    )
    if empty := [split for split in SPLITS if not counts[split]]:
        yield f"No conversation fell into {' or '.join(empty)}."
    if len(stats.get("projects", {})) > 1:
        yield _table(("project", "rows"), list(stats["projects"].items()))


def _answers(facts: Mapping[str, Any]) -> Iterator[str]:
    kind, stats, total = facts["kind"], facts["stats"], sum(facts["counts"].values())
    told = stats.get("lengths", {})
    if "p95" in told:
        what = {"prompts": "Questions", "text": "Documents", "labels": "Texts"}.get(kind, "Answers")
        yield (
            f"{what} are {told['mean']:,.0f} characters long on average"
            f"{' (of the chosen ones)' if kind == 'preference' else ''}, {told['p50']:,} in the "
            f"middle, {told['p95']:,} at the 95th per cent, {told['longest']:,} at most."
        )
    if found := stats.get("languages"):
        of, most = sum(found.values()), list(found.items())[:10]
        shares = ", ".join(f"{code or 'not sure'} {_share(n, of)}" for code, n in most)
        rest = of - sum(n for _, n in most)
        yield (
            f"Languages, told from the texts by py3langid: {shares}"
            + (f", others {_share(rest, of)}" if rest else "")
            + ("." if of == total else f" (of the {of:,} rows of the last look before it).")
        )
    if found := stats.get("labels"):
        lines = [(label, n, _share(n, total)) for label, n in list(found.items())[:30]]
        yield "## Labels"
        yield _table(("label", "rows", "share"), lines)
    if wins := stats.get("longer_wins"):
        yield (
            f"The longer answer is the chosen one in {wins['share']:.0%} of {wins['pairs']:,} "
            f"pairs (95 % interval {wins['low']:.0%} to {wins['high']:.0%}); a model must beat it."
        )


def _work(facts: Mapping[str, Any]) -> Iterator[str]:
    stats, total = facts["stats"], sum(facts["counts"].values())
    if not (many := stats.get("annotators")):
        return
    first, most = next(iter(stats["work"].items()))
    yield "## Who did the work"
    of_imports = stats.get("imported_annotators", 0)
    yield (
        f"{many:,} annotator{'s' if many > 1 else ''}"
        + (
            f" ({'all' if of_imports == many else f'{of_imports:,} of them'} from imported work, "
            "by the names that came with it)"
            if of_imports
            else ""
        )
        + (f", from {stats['work_from']} to {stats['work_to']}" if stats.get("work_from") else "")
        + f". The most by one (`{first}`) is {_share(most, total)} of the rows."
    )
    if many > 1:
        lines = [
            (name, rows, _share(rows, total)) for name, rows in list(stats["work"].items())[:10]
        ]
        yield _table(("annotator", "rows", "share"), lines)
        if many > 10:
            yield f"And {many - 10:,} more."
    if told := stats.get("guidelines"):
        versions = ", ".join(f"{plain(name)} ({rows:,} rows)" for name, rows in told.items())
        yield f"Guideline versions in force: {versions}."


def _agreement(facts: Mapping[str, Any]) -> Iterator[str]:
    """Figures of the stages that the rows come from, over all their work."""
    if not (found := facts["stats"].get("agreement")):
        return
    yield "## How far annotators agree"
    lines = [
        (
            f"{line['name']}: {line['question']}",
            line["metric"],
            "too little to say" if line["value"] is None else f"{line['value']:.2f}",
            "" if line["low"] is None else f"{line['low']:.2f} to {line['high']:.2f}",
            line["units"],
            line["raters"],
        )
        for line in found
        if "metric" in line
    ]
    if lines:
        yield _table(
            ("what was asked", "coefficient", "value", "95 % interval", "compared", "annotators"),
            lines,
        )
        days = sorted({line["measured"] for line in found if "metric" in line})
        yield (
            f"Measured {' to '.join(dict.fromkeys((days[0], days[-1])))} over all work of the "
            "stage, also where the rules leave rows out. 1 is full agreement, 0 what chance gives; "
            "shares of equal answers are not corrected for chance."
        )
    if silent := [plain(line["name"]) for line in found if "metric" not in line]:
        yield f"Never measured: {', '.join(silent)}."


def _licences(facts: Mapping[str, Any]) -> Iterator[str]:
    """Which rows came under which licence; those of which nobody said one are told, too."""
    groups = facts["stats"].get("licences") or []
    total = sum(facts["counts"].values())
    if not any(group["imported"] for group in groups):
        return
    lines, unknown = [], 0
    for group in groups:
        if any(not each["licence"] for each in group["licences"]):
            unknown += group["rows"]
        name = " and ".join(each["licence"] or "unknown" for each in group["licences"])
        share = _share(group["rows"], total)
        lines.append((name or "made here, not imported", group["rows"], share))
    yield "## Licences of what was imported"
    yield _table(("licence", "rows", "share"), lines)
    if unknown:
        yield f"Unknown for {_share(unknown, total)}: nobody said under which licence they came."
    pages = {each["homepage"] for group in groups for each in group["licences"]} - {""}
    if pages:
        yield "Sources: " + ", ".join(f"<{page}>" for page in sorted(filter(_address, pages))) + "."


def _address(page: str) -> bool:
    """Is it an address, that may stand between angle brackets?"""
    return page.startswith(("http://", "https://")) and not set(page) & set("<> \n\t\"'`")


def _rules(facts: Mapping[str, Any]) -> Iterator[str]:
    selection = facts["selection"]
    yield "## Rules"
    if told := rule_words.sentences(facts["kind"], selection):
        yield "\n".join(
            f"- {plain(text[0].upper() + text[1:])}"
            if rule in _SAYS_ITSELF
            else f"- {rule_words.TITLES[rule]}: {plain(text)}"
            for rule, text in told.items()
        )
    else:
        yield "None but those of the kind."
    kinds = ", ".join(selection.get("personal_kinds", []))
    yield _PERSONAL[selection.get("personal", "keep")].format(kinds=kinds)
    if (masked := facts["stats"].get("masked")) is not None:
        yield f"Masked: {in_rows(masked)}."
    if facts["dropped"]:
        yield "## Left out"
        yield _table(("because", "rows"), list(facts["dropped"].items()))
