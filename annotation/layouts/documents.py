"""Documents for pre-training: a text column, or a file of plain text. Pure."""

from annotation.errors import Refused
from annotation.layouts.fields import Row, answer, first, identity, rest
from annotation.layouts.instructions import ANSWERS, PROMPTS
from annotation.records import Note, Record
from annotation.text import text_fingerprint

TEXTS = ("text", "raw_content", "content", "document", "article", "abstract")
OTHERS = ("role", "messages", "conversations", "chosen", "candidates", "fields")


def fits_document(row: Row) -> bool:
    name = first(row, TEXTS)
    return isinstance(row.get(name), str) and not first(row, (*PROMPTS, *ANSWERS, *OTHERS))


def convert_document(row: Row, note: Note) -> list[Record]:
    """A prompt without messages whose answer is the text. Without an id, the text is its id."""
    name = first(row, TEXTS)
    answers = answer(row.get(name), name or "the text", note)
    if not answers:
        raise Refused(f"{name or 'the text'} is empty")
    record = Record(
        external_id=identity(row) or text_fingerprint(answers[0].text),
        metadata=rest(row, (name,)),
        answers=answers,
    )
    return [record]
