"""Where rows wait: what comes out is what went in, in whatever order it is asked for; and how
they become columns."""

from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.models import Prompt
from annotation.text import normalise
from exports import files, formats
from exports.columns import Ranged
from exports.shelf import NONE, Shelf, content_digest, is_normal, origin, same_digest
from exports.splits import SPLITS
from exports.work import DUPLICATE, Answer, Candidate, Ranked, Work

TEXTS = st.text(max_size=40) | st.text(' ab\n\t"\\\x1f\x7fé', max_size=12)


def a_row(asked: str, said: str) -> dict[str, Any]:
    return dict(formats.sft([{"role": "user", "content": asked}], said))


def a_candidate(number: int, said: str = "", **more: Any) -> Candidate:
    name = f"q {more.pop('id', number)}"
    work = Work("p", UUID(int=1), number, name, [], "", batch=more.pop("batch", None))
    row = a_row(f"Question {number}?", said or f"Answer {number}.")
    split = SPLITS[number % 3]
    return Candidate(work, row=row, split=split, length=3, **({"answers": []} | more))


@given(TEXTS, TEXTS)
def test_a_row_that_is_normal_needs_no_second_digest(asked: str, said: str) -> None:
    """The quick question is never wrong when it says yes."""
    row = a_row(asked, said)
    try:
        written = orjson.dumps(row)
    except orjson.JSONEncodeError:
        return  # a lone surrogate, which no database gives
    if is_normal(written):
        assert (normalise(asked), normalise(said)) == (asked, said)
        assert same_digest(row) == content_digest(row)


def test_rows_that_differ_in_white_space_say_the_same() -> None:
    plain, spaced = a_row("What is it?", "A rock."), a_row(" What  is\nit? ", "A\trock.")
    assert is_normal(orjson.dumps(plain)) and not is_normal(orjson.dumps(spaced))
    for odd in (" a", "a ", "a  b", "ä", "a\nb", 'say " it'):
        assert not is_normal(orjson.dumps(a_row("What is it?", odd)))
    assert same_digest(plain) == same_digest(spaced) != same_digest(a_row("What is it?", "A log."))
    assert content_digest(plain) != content_digest(spaced)


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.put([a_candidate(n) for n in range(1_200)])
        shelf.put([Candidate(a_candidate(1_200).work, "left out"), a_candidate(1_201)])
        for ids in ([5, 3, 1_202, 4], list(range(1, 1_201)), np.array([1_200, 1])):
            texts = [row["completion"][0]["content"] for row in shelf.contents(ids)]
            assert texts == [f"Answer {pk - 1}." for pk in ids]
            assert [line.row["prompt"][0]["content"] for line in shelf.read(ids)] == [
                f"Question {pk - 1}?" for pk in ids
            ]
            assert [line.id for line in shelf.lines(ids)] == list(ids)
        assert [(why, orjson.loads(told)["prompt"]) for why, told in shelf.dropped()] == [
            ("left out", 1_200)
        ]
        assert list(shelf.contents([])) == []


def test_what_rows_have_in_common_is_counted_of_the_kept_ones(tmp_path: Path) -> None:
    ana, bea = (
        Ranked([[1], [2]], turn, f"user {turn}", guidelines=turn, day=f"2026-11-0{turn}")
        for turn in (7, 3)
    )
    lead = Ranked([[1], [2]], None, "user 9", day="2026-01-01")  # a decision is no day of work
    mine = Answer(4, "A", "imported", batch=12)
    with Shelf(tmp_path) as shelf:
        shelf.put([a_candidate(1, batch=11, answers=[mine], rankings=[ana, bea, lead])])
        shelf.put([a_candidate(2, "One."), a_candidate(3, "Two.")])
        shelf.drop([2], "too many")
        (first, one), (second, other) = shelf.sources()
    assert first == ("p", (11, 12), (3, 7), "2026-11-03", "2026-11-07") and one == 1
    assert second == ("p", (), (), "", "") and other == 1
    told, _ = origin(a_candidate(1, answers=[mine], rankings=[ana, bea, lead]))
    assert told["submissions"] == [3, 7] and told["responses"] == [4]
    assert told["annotators"] == ["user 3", "user 7", "user 9"]


def test_marks_are_read_by_number_and_by_column(tmp_path: Path) -> None:
    """Of some more rows than are read at once; the order is that of the keys."""
    many = 20_050
    with Shelf(tmp_path) as shelf:
        shelf.put(
            [a_candidate(n, f"Answer {n % 20_000}.", other=n % 7 or None) for n in range(many)]
        )
        shelf.put([Candidate(a_candidate(many).work, "left out")])
        shelf.drop_duplicates()
        assert shelf.reasons() == {"left out": 1}, "the questions differ"
        shelf.drop([7, 20_001], "by hand")
        marks = [shelf.mark(pk) for pk in range(1, many + 2)]
        kept = sorted((one for one in marks if not one.reason), key=lambda one: one.key)
        assert [one.id for one in marks] == list(range(1, many + 2)) and len(kept) == many - 2
        assert marks[6].key > bytes(16) == marks[-1].key
        every = np.random.default_rng(5).permutation(many) + 1
        for ids in (every, np.array([many, 1, 12_345])):  # in blocks, and one by one
            assert [(line.id, line.key) for line in shelf.lines(ids)] == [
                (pk, marks[pk - 1].key) for pk in ids.tolist()
            ]
        names = ("id", "prompt", "split", "other", "length", "size")
        assert shelf.kept(*names).tolist() == [
            tuple(getattr(one, name) for name in names) for one in kept
        ]
        assert {one.other for one in marks} == {NONE, *range(1, 7)}
        assert shelf.column("id").tolist() == sorted(one.id for one in kept)
        codes = shelf.column("reason", every=True).tolist()
        words = [shelf.words()[code] for code in codes]
        assert (words[6], words[20_000], words[-1]) == ("by hand", "by hand", "left out")
        assert codes.count(0) == many - 2 and shelf.prompts() == many - 2
        assert sum(shelf.counts().values()) == many - 2
        for split in SPLITS:
            ids = [one.id for one in kept if SPLITS[one.split] == split]
            assert shelf.ids(split).tolist() == ids


def test_a_duplicate_knows_the_row_that_stays(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.put([a_candidate(n % 4, f"Answer {n % 4}.", id=n) for n in range(10)])
        shelf.drop_duplicates()
        assert shelf.reasons() == {DUPLICATE: 6}
        for pk in range(1, 11):
            mark = shelf.mark(pk)
            twins = [twin for twin in range(1, 11) if (twin - pk) % 4 == 0]
            keys = {twin: shelf.mark(twin).key for twin in twins}
            stays = min(keys, key=lambda twin: keys[twin])
            assert (mark.twin, mark.reason) == ((0, 0) if pk == stays else (stays, 1))


def test_digests_that_begin_alike_are_not_equal(tmp_path: Path, monkeypatch) -> None:
    digests = iter([b"8 bytes." + end for end in (b"and this", b"and that", b"and this")])
    monkeypatch.setattr("exports.shelf.is_normal", lambda row: False)
    monkeypatch.setattr("exports.shelf.same_digest", lambda row: next(digests))
    with Shelf(tmp_path) as shelf:
        shelf.put([a_candidate(n) for n in range(3)])
        shelf.drop_duplicates()
        assert shelf.reasons() == {DUPLICATE: 1}
        assert shelf.mark(2).reason == 0


def test_a_shelf_without_rows(tmp_path: Path) -> None:
    with Shelf(tmp_path) as shelf:
        shelf.put([])
        shelf.drop_duplicates()
        assert (shelf.prompts(), shelf.reasons(), shelf.sources()) == (0, {}, [])
        assert len(shelf.kept("id")) == len(shelf.ids("train")) == 0
        assert list(shelf.dropped()) == [] and not any(shelf.counts().values())


@pytest.mark.parametrize("text", ["", "\0", "a\0b", "é\u2028𝄞", '"\\/', "\r\n", "x" * 70_000])
def test_any_text_becomes_a_column_unchanged(text: str) -> None:
    schema = formats.schema("preference", margin=True)
    prompt = [{"role": "system", "content": text}, {"role": "user", "content": text}]
    rows = [
        dict(formats.preference(prompt, text, "b", 0.25)),
        dict(formats.preference([], "", text, None)),
    ]
    table = files._columns([orjson.dumps(row) for row in rows], schema)
    assert table.schema == schema and table.num_rows == 2
    assert table.to_pylist() == [rows[0], rows[1] | {"margin": None}]


def test_texts_become_a_column_from_their_bytes() -> None:
    texts = ["", "é", "a\0b", "train"]
    assert files._strings(texts).equals(pa.array(texts, pa.string()))
    assert len(files._strings([])) == 0


@pytest.mark.django_db
def test_a_range_is_asked_for_again_and_again(desk, cast) -> None:
    pks = [desk.prompt(f"Question {n}").pk for n in range(4)]
    rows = Prompt.objects.filter(project=cast.project, retired__isnull=True).order_by("id")
    asked = Ranged(rows.values_list("id", "external_id"), "id")
    assert [pk for pk, _ in asked.between(pks[1], pks[2])] == pks[1:3]
    assert [pk for pk, _ in asked.between(pks[0], pks[3])] == pks
    nothing = Ranged(rows.filter(pk__in=[]).values_list("id"), "id")
    assert list(nothing.between(pks[0], pks[3])) == []
