"""What one import writes: rows that carry its batch, and changes kept aside until its end.

The only writer of imported prompts, responses, items, submissions and rankings. It looks up what is
there, decides row by row, and writes in short transactions."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from annotation.batch_changes import Changes
from annotation.batch_rows import (
    Place,
    Reply,
    Row,
    Signature,
    Work,
    content_digest,
    insert_work,
)
from annotation.batch_there import There, imported_stage
from annotation.errors import Refused
from annotation.models import Import, Prompt, Response, Stage
from annotation.prompts import is_worked_on
from annotation.records import Answer, Record, same_answer
from annotation.text import digest, prompt_keys, root_key, text_fingerprint

STAGE_NAME = "Imported rankings"
THUMB = "label"  # of an answer's metadata: a thumb, where it is true or false


class Batch(AbstractContextManager["Batch"]):
    """One import's writing. `origin` is that of answers which do not say their own; `alive` is
    called in each transaction, and raises where the import is wanted no longer.

    `notes` holds (line, text) of what was odd; `created` counts the rows that were made."""

    def __init__(
        self,
        import_row: Import,
        origin: str = "imported",
        alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.row = import_row
        self.origin = origin
        self.alive = alive
        self.seconds = 0.0  # that others waited for the last transaction
        self.created = {"prompts": 0, "responses": 0, "rankings": 0}
        self.notes: list[tuple[int | None, str]] = []
        self._changes = Changes()
        self._stage: Stage | None = None
        self._there = There(import_row)

    def __exit__(self, *error: object) -> None:
        self._changes.close()

    def write(self, rows: Sequence[Row]) -> list[tuple[str, str]]:
        """("imported" | "updated" | "unchanged" | "refused", reason) for each row, in order.

        One transaction; the rows stay invisible until the import is done."""
        records = [record for row in rows for record in row.records]
        keys = [prompt_keys(r.system, r.messages, r.context) for r in records]
        self._there = There(self.row)
        self._there.look_up(records, [mark for mark, _ in keys])
        work, verdicts, at = Work(), [], 0
        for row in rows:
            mine = keys[at : at + len(row.records)]
            at += len(row.records)
            try:
                verdicts.append((self._decide(row, mine, work), ""))
            except Refused as refusal:
                verdicts.append(("refused", str(refusal)))
        self._insert(work)
        return verdicts

    # What a row comes to --------------------------------------------------------------------

    def _decide(self, row: Row, keys: Sequence[tuple[str, str]], work: Work) -> str:
        """The row's verdict; its rows are added to `work`. Raises Refused and adds nothing."""
        targets: list[Place | None] = []
        changes: list[tuple[dict[str, Any], str]] = []
        for record, (mark, _) in zip(row.records, keys, strict=True):
            target = self._there.target(record, mark)
            targets.append(target)
            if target is not None:
                self._compare_answers(row, record, target)
            if target is not None and (wanted := self._change(row, record, mark, target)):
                changes.append(wanted)
        verdict = "updated" if changes else "unchanged"
        for change, content in changes:
            self._changes.add(change, content)
        replies: list[list[Reply]] = []
        for number, (record, (mark, first)) in enumerate(zip(row.records, keys, strict=True)):
            target = targets[number]
            if target is None and number:  # an earlier prompt of the row may be the same
                target = self._there.target(record, mark)
            if target is None:
                parent = replies[record.parent[0]][record.parent[1]] if record.parent else None
                root = targets[record.parent[0]] if record.parent else None
                target = self._new_place(row, record, mark, root)
                work.prompts.append((target, record, first, parent))
                verdict = "imported"
            targets[number] = target
            before = len(work.replies) + len(work.items)
            mine: list[Reply] = []
            for answer in record.answers:
                mine.append(self._reply(target, answer, mine, work))
            replies.append(mine)
            if record.rankings:
                self._rank(target, record, replies[-1], work)
            if verdict == "unchanged" and len(work.replies) + len(work.items) > before:
                verdict = "updated"
        return verdict

    def _change(
        self, row: Row, record: Record, mark: str, target: Place
    ) -> tuple[dict[str, Any], str] | None:
        """What the row changes in a prompt that is there, and the digest of what it then holds.

        Raises Refused if it may not."""
        if not record.messages:
            return None
        content = content_digest(record)
        if not record.external_id:
            if content != target.content:
                self.notes.append((row.line, _other_text(mark == target.fingerprint)))
            return None
        metadata = {**target.metadata, **record.metadata}
        earlier = self._changes.earlier(target)
        self._changes.meet(target.pk)
        if earlier:
            if content != earlier:
                raise Refused(
                    f"the id “{record.external_id}” stands earlier in this file with another prompt"
                )
            if metadata != target.metadata and target.mine:
                self.notes.append((row.line, "other metadata than the id had before: not taken"))
            return None
        change: dict[str, Any] = {}
        if content != target.content:
            if is_worked_on(Prompt(pk=target.pk)):
                raise Refused(
                    f"the prompt “{record.external_id}” would change, but it has been worked on: "
                    "give the new text an id of its own"
                )
            change = {
                "messages": record.messages,
                "system": record.system,
                "context": record.context,
                "tools": record.tools,
                "fingerprint": mark,
                "root_key": root_key(record.messages),
            }
        if metadata != target.metadata:
            change["metadata"] = metadata
        if not change:
            return None
        return {"pk": target.pk, **change}, content

    def _new_place(self, row: Row, record: Record, mark: str, before: Place | None) -> Place:
        if record.external_id and (twin := self._there.twin(mark)) and mark:
            self.notes.append((row.line, f"the same prompt is there as “{twin.external_id}”"))
        place = Place(
            external_id=record.external_id or mark,
            fingerprint=mark or digest(record.external_id),
            metadata=record.metadata,
            known=record,
            document=not record.messages,
            root=(before.root or before) if before else None,
        )
        self._there.add(place)
        return place

    def _reply(self, target: Place, answer: Answer, before: Sequence[Reply], work: Work) -> Reply:
        """The equal answer of the same origin that is there, else a new one."""
        if twin := self._twin(target, answer):
            return twin
        origin, mark = answer.origin or self.origin, text_fingerprint(answer.text)
        corrected = None if answer.corrects is None else before[answer.corrects]
        reply = Reply(answer.text, corrects=corrected, metadata=answer.metadata)
        target.replies.setdefault((origin, mark), []).append(reply)
        work.replies.append((reply, target, answer, origin, mark))
        return reply

    def _twin(self, target: Place, answer: Answer) -> Reply | None:
        named = answer.origin or self.origin, text_fingerprint(answer.text)
        there = target.replies.get(named, ())
        return next((one for one in there if same_answer(one.text, answer.text)), None)

    def _compare_answers(self, row: Row, record: Record, target: Place) -> None:
        """With those of the prompt that is there: an equal one stays as it is.

        Raises Refused for one with the opposite thumb, for another text of a document, and where
        the prompt was erased: an import brings nothing of it back."""
        if record.answers and target.is_erased:
            raise Refused(f"the prompt “{target.external_id}” was erased here: take the row out")
        for answer in record.answers:
            twin = self._twin(target, answer)
            if twin is None:
                if target.document and not record.messages and self._has_text(target):
                    raise Refused(
                        f"the document “{target.external_id}” is there with another text: "
                        "give the new text an id of its own"
                    )
                continue
            thumbs = [one.metadata.get(THUMB) for one in (twin, answer)]
            if all(isinstance(thumb, bool) for thumb in thumbs) and thumbs[0] != thumbs[1]:
                raise Refused(
                    f"the same answer is there with the {THUMB} {str(thumbs[0]).lower()}: "
                    "it cannot have both"
                )
            if twin.metadata | answer.metadata != twin.metadata:
                self.notes.append((row.line, "other metadata than the answer had: not taken"))

    def _has_text(self, target: Place) -> bool:
        there = Response.objects.filter(prompt=target.pk, withdrawn__isnull=True)
        return bool(target.replies) or bool(target.pk and there.exists())

    def _rank(self, target: Place, record: Record, replies: Sequence[Reply], work: Work) -> None:
        """One item a row, one submission a rater; the same again adds nothing."""
        signature: Signature = frozenset(
            (
                ranking.rater,
                tuple(tuple(sorted(replies[at].key for at in g)) for g in ranking.order),
            )
            for ranking in record.rankings
        )
        name = record.comparison
        if any(name == known and signature <= there for known, there in target.signatures):
            return
        target.signatures.append((name, signature))
        target.round += 1
        ranked = {at for ranking in record.rankings for group in ranking.order for at in group}
        shown = [reply for at, reply in enumerate(replies) if at in ranked]
        rankings = [
            (ranking, [[replies[at] for at in group] for group in ranking.order])
            for ranking in record.rankings
        ]
        work.items.append((target, target.round, name, shown, rankings))

    # Writing --------------------------------------------------------------------------------

    def _insert(self, work: Work) -> None:
        """Draw the ids, then write all of it in one transaction."""
        if work.items and self._stage is None:
            self._stage = imported_stage(self.row.project_id) or self._make_stage()
        self.seconds = insert_work(self.row, work, self._stage, self.alive)
        self.created["prompts"] += len(work.prompts)
        self.created["responses"] += len(work.replies)
        self.created["rankings"] += sum(len(rankings) for *_, rankings in work.items)

    def _make_stage(self) -> Stage:
        return Stage.objects.create(
            project_id=self.row.project_id,
            kind=Stage.Kind.RANK,
            name=STAGE_NAME,
            state=Stage.State.IMPORTED,
            position=1000,  # after the stages that people work in
        )

    def publish(self) -> None:
        """Apply the staged changes. Call it in the transaction that makes the import done."""
        self._changes.apply()


def _other_text(same: bool) -> str:
    if same:
        return "the prompt is there, spaced otherwise: its text stays, the answers are added"
    return "the prompt was edited here since it came in: the edit stays, the answers are added"
