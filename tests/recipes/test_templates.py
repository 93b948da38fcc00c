"""One text everywhere: page, preflight, training, evaluation, answers and the exported tokenizer
give the same bytes, for every family of chat templates in reach; and of them the answer is trained.

The families are those that TRL carries, our named templates, and SmolLM2's own. TRL's `_training`
variants, which mark what a model writes, are the oracle for what is trained.
"""

import json
import shutil
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import trl

from exports import chat
from tests.recipes.conftest import events_of, make_tokenizer, open_run, user
from training.recipes import answer, data, evaluate, evaluation, preflight, preflight_rows, sft
from training.recipes.artifacts import Start, save_artifact
from training.recipes.entry import perform
from training.recipes.tokenizer import load_tokenizer

CARRIED = Path(trl.__file__).parent / "chat_templates"
# As it stands in SmolLM2-135M-Instruct.
SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FAMILIES = {file.stem: file.read_text("utf-8") for file in sorted(CARRIED.glob("*.jinja"))} | {
    **chat.TEMPLATES,
    "smollm2": SMOLLM2,
}
# These want messages in parts (text, image): plain text is refused with a sentence.
IN_PARTS = {
    "idefics3", "idefics3_training", "llava_next", "llava_next_training", "smolvlm",
    "smolvlm_training",
}  # fmt: skip
# These refuse a system turn by themselves, in transformers, too.
NO_SYSTEM = {"gemma", "gemma_training"}


def said(text: str) -> dict:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict:
    return {"role": "system", "content": text}


TALKS = {
    "single": [*user("Is it good?"), said("Yes, it is.")],
    "system": [system("Be brief."), *user("Is it good?"), said("Yes.")],
    "several": [*user("One?"), said("First."), *user("Two?"), said("Second.")],
    "unicode": [*user("Ä 日本 🙂 {{ x }} <b>&amp;'\"</b>\n\n ?"), said("שלום\t{% raw %} é")],
    "empty system": [system(""), *user("Is it good?"), said("Yes.")],
}


def refused(family: str, talk: str) -> bool:
    return family in NO_SYSTEM and "system" in talk


@cache
def plain_tokenizer():
    return make_tokenizer(
        bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def encoder_of(family: str, folder: Path) -> data.Encoder:
    """Through what a run leaves (but for the weights) of a model that brings the template: another
    program reads the same folder."""
    tokenizer = plain_tokenizer()
    tokenizer.chat_template = FAMILIES[family]
    run = open_run(folder / "run", "sft", {})
    weights = SimpleNamespace(save_pretrained=lambda part: Path(part).mkdir())
    save_artifact(run, weights, tokenizer, start=Start("base", ""), config={})
    run.close()
    return data.Encoder(load_tokenizer(str(run.artifact)), 4096)


TEXTUAL = [family for family in FAMILIES if family not in IN_PARTS]


def talks_of(family: str) -> dict[str, list[dict]]:
    return {name: talk for name, talk in TALKS.items() if not refused(family, name)}


@pytest.mark.parametrize("family", TEXTUAL)
def test_one_text_on_every_path(family: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(preflight_rows, "PART", 10**6)
    encoder = encoder_of(family, tmp_path)
    tokenizer = encoder.tokenizer
    tokens = {"bos_token": tokenizer.bos_token, "eos_token": tokenizer.eos_token}
    for name, talk in talks_of(family).items():
        question = talk[:-1]
        page = chat.render(talk, FAMILIES[family], **tokens)
        asking = chat.render(question, FAMILIES[family], add_generation_prompt=True, **tokens)
        assert all(turn["content"].strip() in page for turn in talk), name
        # Training and preflight read what the encoder renders.
        assert encoder.render(talk) == page
        data.check_template(encoder, [talk])
        row = {"prompt": question, "completion": talk[-1:]}
        (text,) = preflight_rows.sample(row, encoder, "sft", 4096)["texts"]
        seen = "".join(part for part, _ in text["parts"])
        ends = tokenizer.convert_ids_to_tokens(encoder.end_ids)
        assert page.startswith(seen) or seen in {page + e for e in ends}
        # What is trained is the answer, and no other turn.
        trained = "".join(part for part, mark in text["parts"] if mark == preflight_rows.TRAINED)
        assert talk[-1]["content"].strip() in trained
        assert not any(turn["content"].strip() in trained for turn in question if turn["content"])
        # Evaluation and answers ask with the encoder's prompt.
        assert encoder.render(question, asking=True) == asking
        assert tokenizer.decode(encoder.prompt(question)) == asking
        # And so does another program, from the artifact.
        assert tokenizer.apply_chat_template(talk, tokenize=False) == page
        again = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
        assert again == asking


@pytest.mark.parametrize("family", sorted(IN_PARTS))
def test_a_template_for_parts_is_refused_in_a_sentence(family: str, tmp_path) -> None:
    encoder = encoder_of(family, tmp_path)
    with pytest.raises(ValueError, match="choose a named template"):
        data.check_template(encoder, [TALKS["single"]])


@pytest.mark.parametrize("family", sorted(NO_SYSTEM))
def test_a_family_without_system_turns_says_so(family: str, tmp_path) -> None:
    encoder = encoder_of(family, tmp_path)
    row = {"prompt": TALKS["system"][:-1], "completion": TALKS["system"][-1:]}
    with pytest.raises(ValueError, match="Row 1: .*System role not supported"):
        data.encode([row], encoder, "sft")


def trained_pieces(text: str, talk: list[dict], **more) -> str:
    tokens = {"bos_token": "<s>", "eos_token": "</s>"}
    pieces = chat.segments(talk, text, **tokens, **more)
    assert "".join(piece for piece, _ in pieces) == chat.render(talk, text, **tokens)
    return "".join(piece for piece, on in pieces if on)


MARKED = [f for f in FAMILIES if f + "_training" in FAMILIES and f not in IN_PARTS]


@pytest.mark.parametrize("family", MARKED)
@pytest.mark.parametrize("talk", ["single", "several", "unicode"])
def test_trained_is_what_trls_marks_say(family: str, talk: str) -> None:
    """Without marks of its own a template gives the answer that its marked variant marks. GLM ends
    an answer with the next turn's token, which its plain template does not write."""
    ours = trained_pieces(FAMILIES[family], TALKS[talk])
    theirs = trained_pieces(FAMILIES[family + "_training"], TALKS[talk])
    assert ours == theirs.removesuffix("<|user|>" if family == "glm4moe" else "")
    assert TALKS[talk][-1]["content"] in ours


def test_smollm2_is_what_its_package_ships() -> None:
    """The system turn that it writes by itself is in the prompt, and not trained."""
    text = trained_pieces(SMOLLM2, TALKS["single"])
    assert text == "Yes, it is.<|im_end|>\n"


class TestEachAnswer:
    """Rows of whole conversations (`messages`): each answer is trained, with its end."""

    TALK = TALKS["several"]

    @pytest.mark.parametrize(
        "family", ["chatml", "instruction", "smollm2", "llama3", "qwen2_5", "phi3", "gptoss"]
    )
    def test_and_nothing_else(self, family: str) -> None:
        text = trained_pieces(FAMILIES[family], self.TALK, every_turn=True)
        assert "First." in text and "Second." in text
        assert "One?" not in text and "Two?" not in text
        assert "user" not in text and "assistant" not in text

    def test_no_end_mark_is_cut_in_two(self) -> None:
        """phi3 ends a conversation with eos, whose first character begins the next turn's mark."""
        pieces = chat.segments(self.TALK, FAMILIES["phi3"], every_turn=True, eos_token="</s>")
        assert [text for text, on in pieces if on][0] == "First."
        assert [text for text, on in pieces if not on][1].startswith("<|end|>")

    def test_an_answer_that_is_shown_otherwise_later_is_not_trained(self) -> None:
        """Qwen3 asks with thoughts and takes them off earlier answers: these are no answers to what
        the model is asked."""
        text = trained_pieces(FAMILIES["qwen3"], self.TALK, every_turn=True)
        assert text == "<think>\n\n</think>\n\nSecond.<|im_end|>\n"


class TestPaths:
    """The same, through the code that each part of the product runs."""

    FAMILY = "smollm2"

    @pytest.fixture
    def seen(self, monkeypatch) -> list[str]:
        """The prompts that the model is given, as text."""
        texts: list[str] = []

        def remembers(model, prompts, encoder, **more):
            texts.extend(encoder.tokenizer.decode(ids) for ids in prompts)
            return [evaluation.Answer([], "", True) for _ in prompts]

        monkeypatch.setattr(evaluation, "answer", remembers)
        return texts

    def page(self, tokenizer, talk, **more) -> str:
        return chat.render(
            talk, str(tokenizer.chat_template), bos_token=tokenizer.bos_token,
            eos_token=tokenizer.eos_token, **more,
        )  # fmt: skip

    @pytest.mark.parametrize("name", [None, "chatml", "instruction"])
    def test_samples_and_answers(self, bare_llama, seen, make_run, tmp_path, name) -> None:
        template = {"name": name or "model", "text": chat.TEMPLATES.get(name or "", SMOLLM2)}
        tokenizer = load_tokenizer(str(bare_llama), template)
        questions = [talk[:-1] for talk in TALKS.values()]
        encoder = data.Encoder(tokenizer, 4096)
        evaluation.sample_answers(
            torch.nn.Identity(), [{"prompt": q} for q in questions], encoder, max_new_tokens=1
        )
        asked = [self.page(tokenizer, q, add_generation_prompt=True) for q in questions]
        assert seen == asked[: evaluation.SAMPLES]
        seen.clear()
        file = tmp_path / "prompts.jsonl"
        lines = [{"key": str(i), "messages": q} for i, q in enumerate(questions)]
        file.write_text("\n".join(map(json.dumps, lines)), "utf-8")
        run = make_run("answer", {"model": bare_llama, "prompts": file}, template=template)
        answer.answer(run, SimpleNamespace(
            max_prompt_tokens=4096, batch_size=2, max_new_tokens=1, temperature=0.0, top_p=1.0,
            seed=0,
        ))  # fmt: skip
        assert sorted(set(seen)) == sorted(asked)
        assert not events_of(run, "alarm")


DATED = {
    "llama3_2's": (
        "{%- if not date_string is defined %}{%- if strftime_now is defined %}"
        '{%- set date_string = strftime_now("%d %b %Y") %}{%- else %}'
        '{%- set date_string = "26 Jul 2024" %}{%- endif %}{%- endif %}'
        "{{- 'Today Date: ' + date_string + '\n' }}" + chat.CHATML,
        "Today Date: 03 Feb 2001\n",
    ),
    "gpt-oss's": (
        '{{- "Current date: " + strftime_now("%Y-%m-%d") + "\n" }}' + chat.CHATML,
        "Current date: 2001-02-03\n",
    ),
}


@pytest.mark.parametrize("family", DATED)
def test_a_day_is_held_from_the_first_look_to_what_answers(
    family, llama, sft_snapshot, make_run, tmp_path, monkeypatch
) -> None:
    """Looked at on a day of 2001, trained, stopped, resumed, gone on with, measured and answered
    with later: each reads the text of that day, and so does whoever takes the tokenizer along."""
    template, said_first = DATED[family]
    base = tmp_path / "base"
    shutil.copytree(llama, base)
    (base / "chat_template.jinja").write_text(template)
    given = {"model": base, "snapshot": sft_snapshot}
    read: list[str] = []
    was = data.Encoder.render

    def renders(self, messages, *, asking=False):
        read.append(was(self, messages, asking=asking))
        return read[-1]

    monkeypatch.setattr(data.Encoder, "render", renders)
    run = make_run("sft", given, "first", max_steps=1)
    (run.path / "preflight.json").write_text(json.dumps({"day": "2001-02-03"}))
    assert perform("sft", sft.train, run) == 0
    again = make_run("sft", given, "first", max_steps=1)
    (again.path / "preflight.json").unlink()
    assert perform("sft", sft.train, again) == 0
    inputs = given | {"init": run.artifact}
    assert preflight.examine(make_run("sft", inputs, "looked"))["day"] == "2001-02-03"
    assert perform("sft", sft.train, make_run("sft", inputs, "second", max_steps=1)) == 0
    measured = make_run("evaluate", inputs, "measured", max_new_tokens=2)
    assert perform("evaluate", evaluate.evaluate, measured) == 0
    (tmp_path / "asked.jsonl").write_text(json.dumps({"key": "1", "messages": user("Good?")}))
    inputs = {"model": base, "init": run.artifact, "prompts": tmp_path / "asked.jsonl"}
    assert perform("answer", answer.answer, make_run("answer", inputs, "answers")) == 0
    assert read and all(text.startswith(said_first) for text in read)
    exported = load_tokenizer(str(run.artifact))
    talk = TALKS["single"]
    assert exported.apply_chat_template(talk, tokenize=False).startswith(said_first)
