"""Row shapes, and what the documents show of them."""

import json
from pathlib import Path
from typing import get_type_hints

import pyarrow as pa
import pytest

from exports import formats
from exports.chat import TEMPLATES, render

ASK = [{"role": "user", "content": "Why is the sky blue?", "name": "x"}]
DOCS = Path(__file__).resolve().parents[2] / "docs" / "datasets.md"


def rows() -> dict[str, dict]:
    prompt = formats.conversation(ASK, system="Answer in one line.")
    return {
        "sft": formats.sft(prompt, "Air scatters blue light most."),
        "preference": formats.preference(
            prompt, "Air scatters blue light most.", "Because it is.", 2.0
        ),
        "unpaired": formats.unpaired(prompt, "Because it is.", False),
        "prompts": formats.prompts(prompt),
        "text": formats.document("The sky is blue because air scatters blue light most."),
        "labels": formats.labels("Why is the sky blue?", "physics"),
    }


@pytest.mark.parametrize("kind", formats.KINDS)
def test_rows_fit_their_schema_and_their_type(kind: str) -> None:
    row = rows()[kind]
    schema = formats.schema(kind, margin=True)
    assert set(row) == set(schema.names) == set(get_type_hints(formats.KINDS[kind][1]))
    assert pa.Table.from_pylist([row], schema).to_pylist() == [row]


@pytest.mark.parametrize("kind", formats.KINDS)
def test_the_documents_show_what_the_formatter_prints(kind: str) -> None:
    shown = json.dumps(rows()[kind], indent=1)
    assert shown in DOCS.read_text("utf-8")


def test_no_margin_unless_asked() -> None:
    assert formats.schema("preference").names == ["prompt", "chosen", "rejected"]
    assert "margin" not in formats.preference([], "a", "b")
    assert "margin" not in formats.schema("sft", margin=True).names


def test_what_is_no_kind_has_no_schema() -> None:
    with pytest.raises(ValueError, match="none of sft, preference, unpaired"):
        formats.schema("nonsense")


def test_conversation() -> None:
    turns = formats.conversation(ASK)
    assert turns == [{"role": "user", "content": "Why is the sky blue?"}]
    with_system = formats.conversation(ASK, "Be kind.")
    assert with_system[0] == {"role": "system", "content": "Be kind."}
    own = [{"role": "system", "content": "Mine."}, *ASK]
    assert formats.conversation(own, "Be kind.")[0]["content"] == "Mine."


def test_the_context_goes_into_the_last_user_turn() -> None:
    talk = [*ASK, {"role": "assistant", "content": "Air."}, {"role": "user", "content": "{More}?"}]
    turns = formats.conversation(talk, context="A {book}.", prompt_template="{context} / {prompt}")
    assert [turn["content"] for turn in turns] == [
        "Why is the sky blue?",
        "Air.",
        "A {book}. / {More}?",
    ]
    assert formats.conversation(talk, context=" ", prompt_template="{context} / {prompt}")[2] == {
        "role": "user",
        "content": "{More}?",
    }


def test_the_default_reads_as_the_instruction_template_has_it() -> None:
    turns = formats.conversation(ASK, context="A book.")
    asked = render(turns, TEMPLATES["instruction"], add_generation_prompt=True)
    assert asked == (
        "### Instruction:\nWhy is the sky blue?\n\n### Context:\nA book.\n\n### Response:\n"
    )


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{context}", "prompt.* is missing"),
        ("{prompt.__class__}", "is not known"),
        ("{prompt[0]}", "is not known"),
        ("{prompt!r}", "is not known"),
        ("{prompt:>9}", "is not known"),
        ("{prompt} {secret}", "secret.* is not known"),
        ("{prompt} {", "not a template"),
        ("{} {prompt}", "is not known"),
    ],
)
def test_a_prompt_template_that_is_none(template: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        formats.check_prompt_template(template)


def test_a_prompt_template_may_hold_braces() -> None:
    formats.check_prompt_template("{{json}} {prompt}")
    turns = formats.conversation(ASK, context="c", prompt_template="{{a}} {prompt} {context}")
    assert turns[0]["content"] == "{a} Why is the sky blue? c"


def test_flat_cells() -> None:
    row = rows()["preference"]
    row["prompt"] = [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    cells = formats.flat("preference", row, json.dumps)
    assert cells["system"] == "S" and cells["prompt"] == "three" and cells["margin"] == 2.0
    assert [turn["content"] for turn in json.loads(cells["history"])] == ["one", "two"]
    assert cells["chosen"] == "Air scatters blue light most."
    assert set(cells) | {"split"} == set(formats.flat_columns("preference", margin=True))
