"""Rows to tokens: what is rendered, what is trained, what is cut, what is refused."""

import pytest

from exports import chat, formats
from tests.recipes.conftest import (
    BERT,
    SENTENCES,
    chat_tokenizer,
    make_tokenizer,
    sft_rows,
    user,
    write_snapshot,
)
from training.recipes import data
from training.recipes.tokenizer import set_pad

# As SmolLM2's: no generation marks, a system turn of its own.
PLAIN = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ENDLESS = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def encoder_of(template: str | None = chat.CHATML, max_length: int = 64) -> data.Encoder:
    tokenizer = chat_tokenizer(template)
    set_pad(tokenizer)
    return data.Encoder(tokenizer, max_length)


def conversation(answer: str = "Yes, it is good.") -> list:
    return [*user("Is it good?"), {"role": "assistant", "content": answer}]


def trained_text(encoder: data.Encoder, example: data.Example) -> str:
    kept = [label for label in example.labels if label != data.IGNORED]
    return encoder.tokenizer.decode(kept)


@pytest.mark.parametrize("template", [chat.CHATML, PLAIN, chat.INSTRUCTION])
def test_trained_are_the_answer_and_its_end_and_nothing_else(template: str) -> None:
    encoder = encoder_of(template)
    example = encoder.example(conversation())
    assert trained_text(encoder, example) == "Yes, it is good.<|im_end|>"
    assert example.labels[-1] == encoder.tokenizer.eos_token_id
    assert example.length == len(example.input_ids)


def test_only_the_last_answer_is_trained() -> None:
    encoder = encoder_of(max_length=200)
    example = encoder.example([*conversation("An earlier answer."), *conversation()])
    assert trained_text(encoder, example) == "Yes, it is good.<|im_end|>"
    assert "An earlier answer." in encoder.tokenizer.decode(example.input_ids)


def test_a_template_that_ends_no_answer_gets_an_end() -> None:
    encoder = encoder_of(ENDLESS)
    example = encoder.example(conversation())
    assert trained_text(encoder, example).rstrip().endswith("<|im_end|>")


def test_the_prompt_is_what_the_answer_was_trained_behind() -> None:
    encoder = encoder_of()
    example = encoder.example(conversation())
    asked = encoder.prompt(user("Is it good?"))
    assert example.input_ids[: len(asked)] == asked
    assert example.labels[: len(asked)] == [data.IGNORED] * len(asked)
    assert example.labels[len(asked)] != data.IGNORED


def test_a_base_models_eos_is_not_the_end_that_its_template_writes() -> None:
    tokenizer = make_tokenizer(
        eos_token="<|endoftext|>", additional_special_tokens=["<|im_start|>", "<|im_end|>"]
    )
    tokenizer.chat_template = chat.CHATML
    encoder = data.Encoder(tokenizer, 64)
    im_end, eos = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert encoder.end_ids == [im_end, eos]
    assert encoder.example(conversation()).labels[-1] == im_end


def test_a_long_row_loses_its_end_and_with_it_what_is_trained() -> None:
    whole = encoder_of(max_length=200).example(conversation())
    short = encoder_of(max_length=20).example(conversation())
    assert short.input_ids == whole.input_ids[:20]
    assert short.length == whole.length > 20
    assert 0 <= short.trained < whole.trained
    nothing = encoder_of(max_length=16).example([*user(SENTENCES[0] * 3), *conversation()[1:]])
    assert nothing.trained == 0


def test_the_first_token_of_a_row_is_never_predicted() -> None:
    assert data.Example([5], [5], 1).trained == 0
    assert data.Example([5, 6], [data.IGNORED, 6], 2).trained == 1


@pytest.mark.parametrize("template", [chat.CHATML, PLAIN, chat.INSTRUCTION])
def test_the_tokenizer_renders_the_same_bytes(template: str) -> None:
    data.check_template(encoder_of(template), [conversation(), user("Ä ö ü 日本 {{ x }}\n\n ")])


def test_other_bytes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = encoder_of()
    monkeypatch.setattr(encoder, "template", PLAIN.replace("'\n'", "' '"))
    with pytest.raises(ValueError, match="renders differently"):
        data.check_template(encoder, [conversation()])


class TestPairs:
    def pair(self, max_length: int, chosen: str = "Good, yes.", question: str = "Well?"):
        encoder = encoder_of(max_length=max_length)
        better, worse = formats.answer(chosen), formats.answer("Bad, no.")
        return encoder, encoder.pair(user(question), better, worse)

    def test_both_answers_follow_the_same_prompt_and_end_in_their_end(self) -> None:
        encoder, pair = self.pair(64)
        asked = encoder.prompt(user("Well?"))
        assert pair.start == len(asked)
        for ids, text in ((pair.chosen_ids, "Good, yes."), (pair.rejected_ids, "Bad, no.")):
            assert ids[: pair.start] == asked
            assert encoder.tokenizer.decode(ids[pair.start :]) == f"{text}<|im_end|>"

    def test_a_long_prompt_loses_its_start_first(self) -> None:
        encoder, pair = self.pair(32, question=SENTENCES[0] * 3)
        asked = encoder.prompt(user(SENTENCES[0] * 3))
        assert len(pair.chosen_ids) <= 32 < pair.length
        assert pair.chosen_ids[: pair.start] == asked[-pair.start :]
        assert encoder.tokenizer.decode(pair.chosen_ids[pair.start :]) == "Good, yes.<|im_end|>"

    def test_a_long_answer_keeps_its_last_token_and_a_quarter_for_the_prompt(self) -> None:
        encoder, pair = self.pair(32, chosen=SENTENCES[0] * 3, question=SENTENCES[1] * 3)
        assert len(pair.chosen_ids) == 32
        assert pair.start == 8
        assert pair.chosen_ids[-1] == encoder.tokenizer.eos_token_id

    def test_a_dialogue_is_read_as_the_pair_was(self) -> None:
        encoder, pair = self.pair(64)
        turns = [*user("Well?"), *formats.answer("Good, yes.")]
        assert encoder.dialogue(turns) == pair.chosen_ids

    def test_a_bert_reads_between_its_own_marks(self) -> None:
        tokenizer = make_tokenizer(BERT, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
        tokenizer.chat_template = chat.INSTRUCTION
        encoder = data.Encoder(tokenizer, 32)
        pair = encoder.pair(
            user(SENTENCES[0] * 3), formats.answer("Good."), formats.answer(SENTENCES[1] * 3)
        )
        for ids in (pair.chosen_ids, pair.rejected_ids):
            assert ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id
            assert len(ids) <= 32


class TestTables:
    def test_rows_come_back_in_their_order(self, tmp_path) -> None:
        rows = sft_rows(1200)
        folder = write_snapshot(tmp_path / "s", "sft", train=rows)
        assert list(data.rows_of(folder, "train")) == rows
        assert data.count_of(folder, "train") == 1200
        assert list(data.rows_of(folder, "test")) == []
        table = data.encode(rows, encoder_of(), "sft")
        assert len(table) == table.read == 1200
        assert (
            table.rows["input_ids"][1100].as_py()
            == encoder_of().example([*rows[1100]["prompt"], *rows[1100]["completion"]]).input_ids
        )

    def test_rows_with_nothing_to_train_are_left_out_and_named(self) -> None:
        rows = sft_rows(4)
        rows[2]["prompt"] = user(SENTENCES[0] * 4)
        table = data.encode(rows, encoder_of(max_length=40), "sft")
        assert (len(table), table.empty) == (3, [3])
        assert "1 of 4 rows were left out" in table.note(40) and "rows 3" in table.note(40)

    def test_equal_answers_teach_nothing(self) -> None:
        pair = formats.preference(user("Well?"), "Yes.", "Yes.")
        assert data.encode([pair], encoder_of(), "preference").empty == [1]

    def test_no_row_left_is_refused(self, tmp_path) -> None:
        rows = [formats.sft(user(SENTENCES[0] * 9), "Yes.")]
        folder = write_snapshot(tmp_path / "s", "sft", train=rows)
        with pytest.raises(ValueError, match="None of the 1 training rows"):
            data.training_table(folder, encoder_of(), "sft", lambda: None)
        empty = write_snapshot(tmp_path / "e", "sft", test=rows)
        with pytest.raises(ValueError, match="no training rows"):
            data.training_table(empty, encoder_of(), "sft", lambda: None)

    def test_margins_come_along(self) -> None:
        rows = [formats.preference(user("Well?"), "Yes.", "No.", margin=0.5)]
        table = data.encode(rows, encoder_of(), "preference")
        assert table.rows["margin"].to_pylist() == [0.5]


class TestSnapshots:
    def test_the_wrong_kind_is_refused_by_its_columns(self, sft_snapshot) -> None:
        data.check_snapshot(sft_snapshot, "sft")
        data.check_snapshot(sft_snapshot, "prompts")
        with pytest.raises(ValueError, match="no preference snapshot.*chosen, rejected is missing"):
            data.check_snapshot(sft_snapshot, "preference")

    def test_no_snapshot_at_all(self, tmp_path) -> None:
        with pytest.raises(ValueError, match="no folder `data`"):
            data.check_snapshot(tmp_path, "sft")
        (tmp_path / "data").mkdir()
        with pytest.raises(ValueError, match="holds no rows"):
            data.check_snapshot(tmp_path, "sft")
        (tmp_path / "data" / "train-0.parquet").write_text("not parquet")
        with pytest.raises(ValueError, match="not a readable Parquet file"):
            data.check_snapshot(tmp_path, "sft")

    def test_measured_is_on_test_then_on_validation(self, tmp_path) -> None:
        rows = sft_rows(2)
        for name, splits, expected in [
            ("a", {"train": rows, "validation": rows, "test": rows}, "test"),
            ("b", {"train": rows, "validation": rows}, "validation"),
            ("c", {"train": rows}, ""),
        ]:
            folder = write_snapshot(tmp_path / name, "sft", **splits)
            assert data.evaluation_split(folder) == expected


def test_prompts_that_cannot_be_read_are_named_by_their_line(tmp_path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"key": 1, "messages": [{"role": "user", "content": "?"}]}\n\n{"key": 2}\n')
    with pytest.raises(ValueError, match="line 3"):
        data.read_prompts(file)
