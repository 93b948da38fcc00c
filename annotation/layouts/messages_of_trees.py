"""Flat message files (OpenAssistant): a message a line, put together to trees again.

The lines of a tree may stand anywhere in the file. They are laid into a temporary SQLite database,
which keeps a little in memory and the rest on disk; then tree after tree is taken out of it."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

import orjson

from annotation.errors import Refused
from annotation.layouts.fields import Found, Row
from annotation.layouts.trees import Node, tree_records
from annotation.records import Note, Record, check

NEEDED = {"message_id", "parent_id", "text", "role"}
MAX_TREE = 20_000  # messages of one tree, which is held in memory
CACHE_KIB = 16_384
NAMES = 500  # a query
STEPS = 100  # up from a message whose beginning is not found
SCHEMA = """
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -%d;
    CREATE TABLE message (line INTEGER PRIMARY KEY, name TEXT UNIQUE, parent TEXT, row BLOB);
"""

TakeNote = Callable[[int | None, str], None]
Given = tuple[int | None, "list[Record] | str"]


def fits_messages_of_trees(row: Row) -> bool:
    return row.keys() >= NEEDED


def convert_message(row: Row, note: Note) -> list[Record]:
    """A message that is alone: a prompt without an answer."""
    [(_, records)] = gather_trees([(1, dict(row))], lambda _, text: note(text), None)
    if isinstance(records, str):
        raise Refused(records)
    return records


def gather_trees(rows: Iterable[Found], note: TakeNote, limit: int | None) -> Iterator[Given]:
    """All of a tree's records with its first message's line, none with the lines of the others.

    Of a file that was cut off after `limit` rows, the messages without a beginning are not given:
    it may stand in the rest."""
    with closing(sqlite3.connect("", isolation_level=None)) as spool:
        spool.executescript(SCHEMA % CACHE_KIB)
        spool.execute("BEGIN")
        count = 0
        for line, row in rows:
            count += 1
            reason = row if isinstance(row, str) else _lay_down(spool, line, row)
            if reason:
                yield line, reason
        spool.execute("CREATE INDEX message_parent ON message (parent)")
        met = bytearray((spool.execute("SELECT max(line) FROM message").fetchone()[0] or 0) + 1)
        roots = spool.execute(
            "SELECT line, name, row FROM message WHERE parent IS NULL ORDER BY line"
        )
        for line, name, row in roots:
            yield from _tree(spool, Node(name, orjson.loads(row), line), met, note)
        if count != limit:
            yield from _lost(spool, met)


def _lay_down(spool: sqlite3.Connection, line: int, row: Row) -> str:
    """Keep a message; the reason if it is none."""
    name, parent = row.get("message_id"), row.get("parent_id")
    if not isinstance(name, str) or not name:
        return "has no message_id"
    if parent is not None and not isinstance(parent, str):
        return "has a parent_id that is no text"
    kept = spool.execute(
        "INSERT OR IGNORE INTO message VALUES (?, ?, ?, ?)",
        (line, name, parent or None, orjson.dumps(row)),
    )
    if kept.rowcount:
        return ""
    [first] = spool.execute("SELECT line FROM message WHERE name = ?", (name,)).fetchone()
    return f"the message “{name}” stands in the file already (line {first})"


def _tree(spool: sqlite3.Connection, root: Node, met: bytearray, note: TakeNote) -> Iterator[Given]:
    nodes = _grown(spool, root, met)
    if len(nodes) > MAX_TREE:
        for node in nodes:
            yield node.line, f"belongs to a tree of more than {MAX_TREE:,} messages"
        return
    reasons: dict[int | None, str] = {}
    said: list[tuple[int | None, str]] = _strays(root, nodes)

    def report(node: Node, reason: str) -> None:
        reasons[node.line] = f"“{node.name}” {reason}"

    def remark(text: str) -> None:
        said.append((root.line, text))

    try:
        records = tree_records(root, report, remark)
        check(records, remark)
    except Refused as refusal:
        for node in nodes:
            yield node.line, f"its tree “{root.name}”: {refusal}"
        return
    for line, text in said:
        if line not in reasons:
            note(line, text)
    for node in nodes:
        yield node.line, reasons.get(node.line, records if node is root else [])


def _grown(spool: sqlite3.Connection, root: Node, met: bytearray) -> list[Node]:
    """The tree's messages, the root first; it is hung together. Stops when it is too large."""
    nodes = level = [root]
    met[root.line or 0] = 1
    while level and len(nodes) <= MAX_TREE:
        parents = {node.name: node for node in level}
        names, level = list(parents), []
        for start in range(0, len(names), NAMES):
            some = names[start : start + NAMES]
            marks = ", ".join("?" * len(some))
            for line, name, parent, row in spool.execute(
                f"SELECT line, name, parent, row FROM message WHERE parent IN ({marks}) "
                f"ORDER BY line LIMIT {MAX_TREE + 1}",
                some,
            ):
                child = Node(name, orjson.loads(row), line)
                parents[parent].children.append(child)
                met[line] = 1
                level.append(child)
        nodes = nodes + level
    return nodes


def _strays(root: Node, nodes: list[Node]) -> list[tuple[int | None, str]]:
    """Messages that name another tree than the one in which their parent stands."""
    found: list[tuple[int | None, str]] = []
    for node in nodes:
        named = node.row.get("message_tree_id")
        if named in (
            None,
            root.name,
            root.row.get("message_tree_id") if node is not root else None,
        ):
            continue
        where = (
            "has no parent: it begins a tree of its own"
            if node is root
            else f"its parent stands in “{root.name}”: taken there"
        )
        found.append((node.line, f"“{node.name}” names the tree “{named}” and {where}"))
    return found


def _lost(spool: sqlite3.Connection, met: bytearray) -> Iterator[Given]:
    """What no tree has reached: messages without their parent, and circles."""
    for line, name, parent in spool.execute(
        "SELECT line, name, parent FROM message WHERE parent IS NOT NULL ORDER BY line"
    ):
        if not met[line]:
            yield line, f"“{name}” {_why_lost(spool, name, parent)}"


def _why_lost(spool: sqlite3.Connection, name: str, parent: str) -> str:
    if parent == name:
        return "is its own parent"
    seen, above = {name}, parent
    for _ in range(STEPS):
        if above in seen:
            return (
                "is in a circle of parents"
                if above == name
                else f"continues “{parent}”, which is in or below a circle of parents"
            )
        seen.add(above)
        row = spool.execute("SELECT parent FROM message WHERE name = ?", (above,)).fetchone()
        if row is None:
            if above == parent:
                return f"continues “{parent}”, which is not in the file"
            return f"continues “{parent}”, which does not come in (“{above}” is not in the file)"
        above = row[0]
    return f"continues “{parent}”, whose conversation has no beginning in the file"
