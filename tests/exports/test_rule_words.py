"""Rules in words, rules from the explorer's choices, and what a reason's rule is."""

import pytest

from exports.conditions import parse_metadata
from exports.facet_rules import offers, silent
from exports.filters import Filters
from exports.formats import KINDS
from exports.looks import NUMBERS, TERMS
from exports.rule_fields import GROUPS, HELP
from exports.rule_words import TITLES, active, changes, rule_of, say, sentences
from exports.rules import FIELDS, Selection, parse, to_json


def stored(kind: str = "sft", **rules) -> dict:
    return to_json(kind, parse(kind, {"projects": ["a"]} | rules))


def test_every_rule_has_a_title_an_explanation_and_one_group() -> None:
    every = {rule for rules in FIELDS.values() for rule in rules}
    grouped = [rule for _, rules in GROUPS for rule in rules if rule not in ("name", "kind")]
    assert every == set(TITLES) == set(grouped) and len(grouped) == len(set(grouped))
    assert every - set(HELP) == {"since", "until", "personal_kinds"}


def test_what_is_set_in_a_line() -> None:
    said = sentences("sft", stored(min_length=20, max_length=4000, languages=["en"]))
    assert said["max_length"] == "20 to 4,000 characters" and said["languages"] == "in English"
    assert "min_length" not in said and "near" not in said
    assert sentences("sft", stored(personal="drop"))["personal"] == "personal data left out"
    assert sentences("sft", {})["test"] == "test 5 %, validation 5 %"
    assert sentences("sft", stored(stages=[3]))["stages"] == "1 stage(s) only"


@pytest.mark.parametrize("kind", FIELDS)
def test_sentences_only_of_the_kind_s_own_rules(kind: str) -> None:
    assert set(sentences(kind, {})) <= set(FIELDS[kind])


def test_changes_field_by_field() -> None:
    found = changes("sft", stored(), stored(min_length=20, boilerplate=True))
    assert [(one.title, one.before, one.after) for one in found] == [
        ("Shortest, in characters", "off", "20"),
        ("Leave out refusals and boilerplate", "no", "yes"),
    ]
    assert changes("sft", stored(), stored(projects=["b"]), without=("projects",)) == []


def test_say() -> None:
    assert say("stages", "all") == "all" and say("stages", [3, 4]) == "3, 4"
    assert say("personal", "mask") == "put [EMAIL] and the like in its place"
    assert say("test", 0) == "0" and say("max_length", 0) == "off" and say("test", 7.5) == "7.5"


@pytest.mark.parametrize(
    ("reason", "rule"),
    [
        ("shorter than 20 characters", "min_length"),
        ("in another language (de)", "languages"),
        ("more than 3 rows of the prompt", "max_per_prompt"),
        ("more than 20 % by one annotator", "max_annotator"),
        ("near-duplicate of another row (80 %)", "near"),
        ("not sure in which language", "unsure_language"),
        ("more than the project's share of the mix", "weights"),
        ("shares 13 words with the benchmark “Farm”", "not_in"),
        ("tie", ""),
        ("exact duplicate of another row", ""),
    ],
)
def test_the_rule_of_a_reason(reason: str, rule: str) -> None:
    assert rule_of(reason) == rule


def test_active_rules_with_what_they_leave_out() -> None:
    dropped = {"shorter than 20 characters": 4, "tie": 9, "longer than 90 characters": 2}
    found = {one.rule: one for one in active("sft", stored(min_length=20, max_length=90), dropped)}
    assert (found["min_length"].rows, found["max_length"].rows) == (4, 2)
    assert found["min_length"].words == "20 characters or more"
    assert found["near_test"].rows == 0 and "test" not in found


def offered(filters: Filters, kind: str = "sft", **rules) -> dict:
    found = offers(kind, stored(kind, **rules), filters, {"Desk / Rank": 7})
    return {(one.facet, one.way): one.values for one in found}


def terms(**values) -> Filters:
    return Filters(terms={name: frozenset(chosen) for name, chosen in values.items()})


def test_choices_that_are_rules() -> None:
    assert offered(terms(language={"en", ""}))[("language", "only")] == {
        "languages": ["en"], "unsure_language": "keep",
    }  # fmt: skip
    assert offered(terms(stage={"Desk / Rank"}))[("stage", "only")] == {"stages": [7]}
    assert offered(terms(project={"b"}))[("project", "only")] == {"projects": ["b"]}
    mix = ["a=1", "b=2", "c=3"]
    assert offered(terms(project={"b", "c"}), weights=mix)[("project", "only")] == {
        "projects": ["b", "c"], "weights": ["b=2", "c=3"],
    }  # fmt: skip
    alone = offered(terms(project={"b"}), weights=mix)[("project", "only")]
    assert alone == {"projects": ["b"], "weights": []}
    found = offered(terms(annotator={"user 3"}), without_annotators=["user 1"])
    assert found[("annotator", "without")] == {"without_annotators": ["user 1", "user 3"]}
    assert found[("annotator", "only")] == {"annotators": ["user 3"]}


def test_choices_of_metadata_are_conditions() -> None:
    filters = Filters(terms={"metadata.topic": frozenset({"x", ""})})
    assert offered(filters, metadata=["score>=3"]) == {
        ("metadata.topic", "without"): {"metadata": ["score>=3", "has topic", "topic!=x"]}
    }
    one = Filters(terms={"metadata.topic": frozenset({"x"})})
    assert offered(one)[("metadata.topic", "only")] == {"metadata": ["topic=x"]}


@pytest.mark.parametrize(
    ("name", "value"),
    [("a>b", "x"), ("a", "=x"), ("a", " x"), ("a", "x\ny"), ("no x", ""), ("a=b", ""), (" a", "x")],
)
def test_what_a_condition_would_misread_is_not_offered(name: str, value: str) -> None:
    chosen = Filters(terms={f"metadata.{name}": frozenset({value})})
    for values in offered(chosen).values():
        (line,) = values["metadata"]
        assert parse("sft", {"metadata": [line]}).metadata == (line,)
        read = parse_metadata(line)
        assert (read.name, read.value) == (name, value)


def test_ranges_that_are_rules() -> None:
    found = offered(Filters(ranges={"length": (20, None), "day": (20_000, 20_001)}))
    assert found[("length", "only")] == {"min_length": 20, "max_length": 0}
    assert found[("day", "only")] == {"since": "2024-10-04", "until": "2024-10-05"}
    agreement = Filters(ranges={"agreement": (60, None)})
    assert offered(agreement, "preference")[("agreement", "only")] == {"min_agreement": 60}
    assert offered(agreement, "sft") == {}, "no rule of this kind"


def test_classes_of_answers_and_what_waits_are_rules() -> None:
    there = {"answers": ["written", "corrected", "imported"]}
    found = offered(terms(origin={"imported"}), **there)
    assert found[("origin", "only")] == {"answers": ["imported"]}
    assert found[("origin", "without")] == {"answers": ["written", "corrected"]}
    every = offered(terms(origin={"written", "corrected", "imported"}), **there)
    assert set(every) == {("origin", "only")}, "no class would be left"
    assert offered(terms(origin={"imported"}), "preference") == {}
    assert offered(terms(language={""})) == {
        ("language", "without"): {"unsure_language": "drop"},
    }
    assert offered(terms(review={"waiting"})) == {("review", "without"): {"review": "passed"}}
    assert offered(terms(review={"waiting"}), review="accepted") == {}, "it would let more in"
    for (_, _), values in found.items():
        parse("sft", values)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("facet", [*TERMS, *NUMBERS, "day", "split", "reason", "metadata.a>b"])
def test_what_is_chosen_is_a_rule_or_says_why_not(kind: str, facet: str) -> None:
    for value in ("", "x", "waiting", "imported"):
        chosen = Filters(terms={facet: frozenset({value})})
        if facet in (*NUMBERS, "day"):
            chosen = Filters(ranges={facet: (None, 5)})
        rules = {"question": "7.topic"} if kind == "labels" else {}
        made = offers(kind, stored(kind, **rules), chosen, {"Desk / Rank": 7})
        why = silent(kind, chosen, made)
        assert bool(made) != bool(why), (facet, value)
        assert all(sentence.endswith(".") for sentence in why.values())


def test_choices_that_are_no_rules() -> None:
    filters = terms(split={"train"}, label={"good"}, review={"returned"}, stage={""})
    assert offered(filters) == {}
    assert parse("sft", {"projects": ["a"]}) == Selection(projects=("a",))
