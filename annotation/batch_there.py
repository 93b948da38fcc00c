"""The prompts that the rows of a chunk meet: those that are there, and those that it makes."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Max

from annotation.batch_rows import COMPARISON, Place, Reply, prompts_named
from annotation.errors import Refused
from annotation.models import Import, Item, Prompt, Ranking, Response, Stage
from annotation.records import Record
from annotation.text import text_fingerprint

FIELDS = ("id", "external_id", "fingerprint", "system", "context", "messages", "tools")


def imported_stage(project: int) -> Stage | None:
    """The stage that holds the project's imported rankings."""
    return Stage.objects.filter(
        project=project, kind=Stage.Kind.RANK, state=Stage.State.IMPORTED
    ).first()


class There:
    """Places by id and by fingerprint."""

    def __init__(self, import_row: Import) -> None:
        self.row = import_row
        self._by_id: dict[str, Place] = {}
        self._by_fingerprint: dict[str, Place] = {}

    def add(self, place: Place) -> None:
        self._by_id[place.external_id] = place
        self._by_fingerprint.setdefault(place.fingerprint, place)

    def target(self, record: Record, mark: str) -> Place | None:
        """The prompt that the record means: by its id, or without one by what it says."""
        if record.external_id:
            return self._by_id.get(record.external_id)
        return self._by_fingerprint.get(mark) or self._by_id.get(mark)

    def twin(self, mark: str) -> Place | None:
        """The first one with this fingerprint."""
        return self._by_fingerprint.get(mark)

    def look_up(self, records: Sequence[Record], prints: Sequence[str]) -> None:
        """Those that the records name, with their answers and rankings. Raises Refused where
        another import is being taken out."""
        places: dict[int, Place] = {}
        ids = {record.external_id or mark for record, mark in zip(records, prints, strict=True)}
        there = prompts_named(self.row.project_id, ids, set(prints) - {""})
        if not there:
            return
        prompts = Prompt.objects.filter(pk__in=there).order_by("id")
        for pk, external_id, mark, *texts, metadata, batch, root, state in prompts.values_list(
            *FIELDS, "metadata", "batch_id", "root_id", "batch__state"
        ):
            if batch not in (None, self.row.pk) and state != Import.State.DONE:
                raise Refused(
                    "Nothing was imported: another import into this project is being taken out. "
                    "Try again in a moment."
                )
            system, context, messages, tools = texts
            places[pk] = place = Place(
                external_id=external_id,
                fingerprint=mark,
                metadata=metadata,
                known=Record(messages, external_id, system, context, tools),
                pk=pk,
                mine=batch == self.row.pk,
                document=not messages,
                root=Place("", "", {}, "", pk=root) if root else None,
            )
            self.add(place)
        self._look_up_answers(places, records)

    def _look_up_answers(self, places: dict[int, Place], records: Sequence[Record]) -> None:
        marks = {text_fingerprint(answer.text) for r in records for answer in r.answers}
        replies: dict[int, Reply] = {}
        for pk, prompt, origin, mark, text, metadata in (
            Response.objects.filter(
                prompt__in=places, fingerprint__in=marks, withdrawn__isnull=True
            )
            .order_by("id")
            .values_list("id", "prompt_id", "origin", "fingerprint", "text", "metadata")
        ):
            replies[pk] = Reply(text, pk, metadata=metadata)
            places[prompt].replies.setdefault((origin, mark), []).append(replies[pk])
        if any(record.rankings for record in records):
            self._look_up_rankings(places)

    def _look_up_rankings(self, places: dict[int, Place]) -> None:
        stage = imported_stage(self.row.project_id)
        if stage is None:
            return
        items: dict[int, tuple[int, str, set[Any]]] = {}
        for item, prompt, rater, draft, order in Ranking.objects.filter(
            submission__stage=stage, submission__item__prompt__in=places
        ).values_list(
            "submission__item_id",
            "submission__item__prompt_id",
            "submission__rater",
            "submission__draft",
            "order",
        ):
            keys = tuple(tuple(sorted(("there", pk) for pk in group)) for group in order)
            name = draft.get(COMPARISON, "")
            items.setdefault(item, (prompt, name, set()))[2].add((rater, keys))
        for prompt, name, signature in items.values():
            places[prompt].signatures.append((name, frozenset(signature)))
        rounds = Item.objects.filter(stage=stage, prompt__in=places).values_list("prompt_id")
        for prompt, last in rounds.annotate(Max("round")):
            places[prompt].round = last
