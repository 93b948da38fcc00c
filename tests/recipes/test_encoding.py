"""Rows to tokens: what is rendered, what is trained, what is cut."""

import pytest

from exports import chat, formats
from tests.recipes.conftest import BERT, SENTENCES, chat_tokenizer, make_tokenizer, user
from training.recipes import data, encoding
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


def trained_text(encoder: data.Encoder, example: encoding.Example) -> str:
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
    assert encoding.Example([5], [5], 1).trained == 0
    assert encoding.Example([5, 6], [data.IGNORED, 6], 2).trained == 1


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


class TestMasksByHand:
    """Token by token: what is written as `[…]` is trained, and nothing else is."""

    TALK = [*user("Good?"), {"role": "assistant", "content": "Yes."}]
    AGAIN = [*TALK, *user("Sure?"), {"role": "assistant", "content": "No."}]
    CASES = {
        "chatml": (
            chat.CHATML,
            "<|im_start|>user\nGood?<|im_end|>\n<|im_start|>assistant\n",
            "\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
        ),
        "instruction": (
            chat.INSTRUCTION,
            "<|im_start|>### Instruction:\nGood?\n\n### Response:\n",
            "\n\n### Instruction:\nSure?\n\n### Response:\n",
        ),
        "without marks": (
            PLAIN,
            "<|im_start|>user\nGood?<|im_end|>\n<|im_start|>assistant\n",
            "\n<|im_start|>user\nSure?<|im_end|>\n<|im_start|>assistant\n",
        ),
    }

    def expected(self, encoder: data.Encoder, pieces: list[tuple[str, bool]]) -> tuple[list, list]:
        ids: list[int] = []
        labels: list[int] = []
        for text, trained in pieces:
            piece = encoder.tokenizer(text, add_special_tokens=False)["input_ids"]
            ids += piece
            labels += piece if trained else [data.IGNORED] * len(piece)
        return ids, labels

    @pytest.mark.parametrize("name", CASES)
    def test_one_answer(self, name: str) -> None:
        template, asked, _ = self.CASES[name]
        encoder = encoder_of(template)
        example = encoder.example(self.TALK)
        ids, labels = self.expected(encoder, [(asked, False), ("Yes.<|im_end|>", True)])
        assert (example.input_ids, example.labels) == (ids, labels)

    @pytest.mark.parametrize("name", CASES)
    @pytest.mark.parametrize("every_turn", [False, True])
    def test_two_answers(self, name: str, every_turn: bool) -> None:
        template, asked, again = self.CASES[name]
        encoder = encoder_of(template, max_length=200)
        example = encoder.example(self.AGAIN, every_turn=every_turn)
        ids, labels = self.expected(encoder, [
            (asked, False), ("Yes.<|im_end|>", every_turn), (again, False), ("No.<|im_end|>", True),
        ])  # fmt: skip
        assert encoder.tokenizer.decode(example.input_ids) == encoder.tokenizer.decode(ids)
        assert [i for i in example.labels if i != data.IGNORED] == [
            i for i in labels if i != data.IGNORED
        ]
        if every_turn:  # the pieces are those that are joined here
            assert (example.input_ids, example.labels) == (ids, labels)

    @pytest.mark.parametrize("room", range(16, 40, 4))
    def test_a_cut_takes_the_end_of_ids_and_labels_alike(self, room: int) -> None:
        whole = encoder_of(max_length=200).example(self.AGAIN, every_turn=True)
        cut = encoder_of(max_length=room).example(self.AGAIN, every_turn=True)
        assert cut.input_ids == whole.input_ids[:room]
        assert cut.labels == whole.labels[:room]
        assert cut.length == len(whole.input_ids)

    def test_an_end_that_the_marks_leave_out_is_trained(self) -> None:
        template = (
            "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}"
            "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
            "{% else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
        )
        encoder = encoder_of(template, max_length=200)
        example = encoder.example(self.AGAIN, every_turn=True)
        assert trained_text(encoder, example) == "Yes.<|im_end|>No.<|im_end|>"
        assert example.input_ids[-1] == encoder.tokenizer.eos_token_id


class TestAnswersApart:
    """As DPO and KTO read them."""

    def answers(self, max_length: int, *texts: str, question: str = "Well?") -> encoding.Answers:
        encoder = encoder_of(max_length=max_length)
        return encoder.answers(user(question), [formats.answer(text) for text in texts])

    def test_prompt_and_answers_are_those_of_a_pair(self) -> None:
        encoder = encoder_of()
        found = self.answers(64, "Good, yes.", "Bad, no.")
        pair = encoder.pair(user("Well?"), formats.answer("Good, yes."), formats.answer("Bad, no."))
        assert found.prompt_ids == encoder.prompt(user("Well?"))
        assert found.prompt_ids + found.answer_ids[0] == pair.chosen_ids
        assert found.prompt_ids + found.answer_ids[1] == pair.rejected_ids
        assert found.length == pair.length

    def test_an_answer_that_is_cut_does_not_end(self) -> None:
        """Else half a sentence would be learnt as a place to stop."""
        long, short = self.answers(32, SENTENCES[0] * 3, "No.", question=SENTENCES[1]).answer_ids
        encoder = encoder_of()
        assert encoder.tokenizer.eos_token_id not in long
        assert short[-1] == encoder.tokenizer.eos_token_id
        assert len(long) == 32 - 8  # the prompt keeps a quarter

    def test_a_long_prompt_loses_its_start_first(self) -> None:
        found = self.answers(32, "Good, yes.", question=SENTENCES[0] * 3)
        asked = encoder_of().prompt(user(SENTENCES[0] * 3))
        assert len(found.prompt_ids) + len(found.answer_ids[0]) == 32
        assert asked[-len(found.prompt_ids) :] == found.prompt_ids


class TestTexts:
    def test_a_text_to_classify_loses_its_end(self) -> None:
        encoder = encoder_of(max_length=16)
        whole = encoder.tokenizer(SENTENCES[0])["input_ids"]
        assert encoder.text(SENTENCES[0]) == (whole[:16], len(whole))

    def test_a_bert_keeps_its_marks_around_it(self) -> None:
        tokenizer = make_tokenizer(BERT, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
        ids, length = data.Encoder(tokenizer, 16).text(SENTENCES[0])
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert len(ids) == 16 < length

    def test_a_document_starts_as_the_tokenizer_has_it_and_ends(self) -> None:
        tokenizer = chat_tokenizer(None)
        encoder = data.Encoder(tokenizer, 16)
        plain = tokenizer(SENTENCES[0])["input_ids"]
        assert encoder.document(SENTENCES[0]) == [*plain, tokenizer.eos_token_id]
        assert encoder.document(SENTENCES[0] + "<|im_end|>") == [*plain, tokenizer.eos_token_id]
        assert encoder.end_ids == [tokenizer.eos_token_id]

    def test_a_tokenizer_without_an_end_is_refused(self) -> None:
        tokenizer = make_tokenizer(BERT, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]")
        with pytest.raises(ValueError, match="no end token"):
            data.Encoder(tokenizer, 16).document("A text.")
