"""Filters and counts over a look, against counting by hand on random rows."""

import random
from datetime import date
from urllib.parse import urlencode

import pytest
from django.http import QueryDict

from exports import explorer
from exports.explorer import Look, NoLook
from exports.filters import Filters
from tests.exports.look_files import write_look

LANGUAGES = ["en", "de", "fr", None]
REASONS = ["", "", "", "too short", "a tie"]
DAY = date(2026, 11, 1).toordinal() - date(1970, 1, 1).toordinal()


def some(count: int, seed: int = 1) -> list[dict]:
    draw = random.Random(seed)
    return [
        {
            "language": draw.choice(LANGUAGES),
            "reason": draw.choice(REASONS),
            "length": draw.choice([None, draw.randrange(2_000)]),
            "day": DAY + draw.randrange(60),
            "agreement": draw.choice([None, 0, 55, 100]),
            "metadata.topic": draw.choice(["a=b", "ü & x", None]),
            "annotator": draw.choice([[], ["ana"], ["bea", "ana"], ["cem", "bea", "ana"]]),
        }
        for _ in range(count)
    ]


@pytest.fixture
def rows() -> list[dict]:
    return some(400)


@pytest.fixture
def look(tmp_path, rows) -> Look:
    return Look(write_look(tmp_path / "look", rows))


def read(look: Look, query: str) -> Filters:
    return Filters.read(QueryDict(query), look.types)


def worth(row: dict, name: str) -> set[str]:
    value = row[name]
    return set(value) or {""} if isinstance(value, list) else {value or ""}


def holds(row: dict, filters: Filters, but: str = "") -> bool:
    if filters.show != "all" and (filters.show == "kept") != (row["reason"] == ""):
        return False
    for name, wanted in filters.terms.items():
        if name != but and not wanted & worth(row, name):
            return False
    for name, (low, high) in filters.ranges.items():
        value = row[name]
        if name == but:
            continue
        if (
            value is None
            or (low is not None and value < low)
            or (high is not None and value > high)
        ):
            return False
    return True


QUERIES = [
    "",
    "show=all",
    "show=dropped&reason=a+tie",
    "language=en&language=de",
    "language=",
    "show=all&length.from=100&length.to=399",
    "length.to=50&language=en&metadata.topic=a%3Db",
    "agreement.from=55",
    "show=all&day.from=2026-11-10&day.to=2026-11-20&language=fr",
    "show=all&length.from=0&length.to=0",
    "annotator=ana",
    "show=all&annotator=cem&annotator=",
    "show=dropped&annotator=bea&language=en",
]


@pytest.mark.parametrize("query", QUERIES)
def test_counts_are_those_of_counting_by_hand(look: Look, rows: list[dict], query: str) -> None:
    filters = read(look, query)
    found = [place for place, row in enumerate(rows, 1) if holds(row, filters)]
    assert look.page(filters, 1) == found[: explorer.SIZE]
    assert look.page(filters, 2) == found[explorer.SIZE : 2 * explorer.SIZE]
    assert look.shown(filters)[filters.show] == len(found)
    counts = look.counts(filters)
    for name in ("language", "reason", "metadata.topic", "annotator"):
        _, values = look.terms(name)
        others = [row for row in rows if holds(row, filters, but=name)]
        by_hand = [sum(value in worth(row, name) for row in others) for value in values]
        assert counts[name] == by_hand, name
    for name in ("length", "day", "agreement"):
        _, edges = look.bins(name)
        known = [row[name] for row in rows if holds(row, filters, but=name)]
        ends = [*edges[1:], 2**31]
        by_hand = [
            sum(low <= value < high for value in known if value is not None)
            for low, high in zip(edges, ends, strict=True)
        ]
        assert counts[name] == by_hand, name


def test_rows_that_others_have_a_part_in_as_well(look: Look, rows: list[dict]) -> None:
    kept = [row["annotator"] for row in rows if not row["reason"]]
    assert look.shared("annotator", {"bea"}) == sum("bea" in who for who in kept)
    assert look.shared("annotator", {"bea", "ana"}) == sum("cem" in who for who in kept)
    assert look.shared("language", {"en"}) == 0
    assert look.counts_of("annotator")["ana"] == sum("ana" in row["annotator"] for row in rows)


def test_shown_adds_up(look: Look, rows: list[dict]) -> None:
    shown = look.shown(read(look, "language=en"))
    assert shown["kept"] + shown["dropped"] == shown["all"]
    assert shown["all"] == sum(row["language"] == "en" for row in rows)


@pytest.mark.parametrize("query", QUERIES)
def test_an_address_says_the_filters_and_is_read_back(look: Look, query: str) -> None:
    filters = read(look, query)
    assert read(look, filters.query()) == filters


def test_what_cannot_be_meant_is_left_out(look: Look) -> None:
    for query in ("show=none", "length.from=x", "length.to=", "nothing=1", "day.from=2026-13-40"):
        assert read(look, query) == Filters()
    assert read(look, "length.from=99999999999&length.to=-5").ranges == {"length": (None, -5)}


def test_a_value_is_chosen_and_taken_back() -> None:
    filters = Filters().toggled("language", "en").toggled("language", "de")
    assert filters.terms == {"language": {"en", "de"}}
    back = filters.toggled("language", "en").toggled("language", "de")
    assert back == Filters() and filters.without("language") == Filters()
    assert "show=dropped" in urlencode(filters.showing("dropped").pairs())


def test_rows_are_read_with_their_reason(tmp_path) -> None:
    look = Look(
        write_look(
            tmp_path / "look",
            [
                {"texts": ("Why?", "Because."), "annotators": ["name Judge"]},
                {"reason": "a tie", "prompt": 7, "responses": [3]},
            ],
        )
    )
    found = look.read([2, 1, 9])
    assert list(found) == [1, 2]
    assert found[1].reason == "" and found[1].row["completion"][0]["content"] == "Because."
    assert found[2].row is None and found[2].reason == "a tie"
    assert found[2].provenance["responses"] == [3]


def test_groups_of_near_duplicates_have_the_kept_row_first(tmp_path) -> None:
    rows = [{"reason": reason} for reason in ["near", "", "", "near", "near", ""]]
    for place, kept in {1: 2, 2: 2, 4: 6, 5: 6, 6: 6}.items():
        rows[place - 1]["group"] = kept
    look = Look(write_look(tmp_path / "look", rows))
    assert look.groups(Filters(), 1) == (2, [[2, 1], [6, 4, 5]])
    assert look.groups(Filters(), 2) == (2, [])
    assert (look.group_of(4), look.group_of(3)) == (6, None)


def test_the_kept_row_of_an_exact_duplicate(tmp_path) -> None:
    rows = [
        {"texts": ("a", "b"), "twin": 3, "reason": "exact duplicate of another row"},
        {"texts": ("x", "y"), "reason": "more than 1 rows of the prompt"},
        {"texts": ("a", "b")},
        {"reason": "a tie"},
        {"texts": ("x", "y"), "twin": 2, "reason": "exact duplicate of another row"},
    ]
    look = Look(write_look(tmp_path / "look", rows))
    assert look.kept_twin(1) == 3 and look.kept_twin(3) is None and look.kept_twin(4) is None
    assert look.kept_twin(5) is None, "the row that stayed was left out later"


def test_a_look_without_rows(tmp_path) -> None:
    look = Look(write_look(tmp_path / "look", []))
    assert look.counts(Filters()) == {"reason": []}
    assert look.page(Filters(), 1) == [] and look.shown(Filters())["all"] == 0


def test_a_column_in_several_batches(tmp_path) -> None:
    import pyarrow as pa

    folder = write_look(tmp_path / "look", some(6))
    one, two = (
        pa.table({"reason": pa.array(part).dictionary_encode()})
        for part in (["", "a tie", ""], ["short", "", "a tie"])
    )
    options = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
    file = pa.OSFile(str(folder / "facets.arrow"), "wb")
    with file, pa.ipc.new_file(file, one.schema, options=options) as writer:
        writer.write_table(pa.concat_tables([one, two]))
    look = Look(folder)
    assert look.page(Filters(), 1) == [1, 3, 5]
    assert look.counts_of("reason") == {"": 3, "a tie": 2, "short": 1}


def test_the_last_few_looks_stay_open(tmp_path) -> None:
    folders = [str(write_look(tmp_path / str(n), some(3, n))) for n in range(explorer.OPEN + 1)]
    first = explorer.open_look(folders[0])
    assert explorer.open_look(folders[0]) is first
    for folder in folders[1:]:
        explorer.open_look(folder)
    assert explorer.open_look(folders[0]) is not first


def test_no_look(tmp_path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "look.json").write_text("{")
    for folder in ("", str(tmp_path / "gone"), str(tmp_path / "broken")):
        with pytest.raises(NoLook):
            explorer.open_look(folder)
    look = Look(write_look(tmp_path / "look", some(3)))
    (look.folder / "rows.marks").unlink()
    with pytest.raises(NoLook):
        look.read([1])


@pytest.fixture
def told(tmp_path) -> Look:
    rows = [
        {"texts": ("Where is the Café?", 'She said "round the\ncorner", twice.'), "language": "en"},
        {"texts": ("What is a user?", "One who uses."), "reason": "too short", "language": "en"},
        {"reason": "a tie", "language": "en"},
        {"texts": ("Wo ist das CAFÉ?", "Um die Ecke: C:\\neu."), "language": "de"},
    ]
    return Look(write_look(tmp_path / "told", rows))


@pytest.mark.parametrize(
    ("phrase", "rows"),
    [
        ("café", [1, 4]),
        ("  Where is ", [1]),
        ('said "round', [1]),
        ("the\ncorner", [1]),
        ("c:\\neu", [4]),
        ("user", [2]),  # also the name of a role in each row's JSON
        ("content", []),
        ("support-desk", []),  # stands in each row's provenance
        ("[a-z]", []),
        ("uses. um", []),  # the end of one row and the beginning of another
    ],
)
def test_rows_that_hold_a_phrase(told, phrase, rows) -> None:
    asked = Filters(show="all", phrase=phrase.strip())
    assert told.page(asked, 1) == rows
    assert read(told, urlencode({"show": "all", "q": phrase})) == asked


def test_a_phrase_beside_facets(told) -> None:
    asked = read(told, "q=caf%C3%A9&language=de")
    assert told.page(asked, 1) == [4] and told.shown(asked) == {"kept": 1, "dropped": 0, "all": 1}
    counts = dict(zip(told.terms("language")[1], told.counts(asked)["language"], strict=True))
    assert counts == {"en": 1, "de": 1}, "those under the phrase"
    assert Filters.read(QueryDict(asked.query()), told.types) == asked
    (told.folder / "rows.texts").unlink()
    with pytest.raises(NoLook):
        told.page(read(told, "q=new"), 1)
