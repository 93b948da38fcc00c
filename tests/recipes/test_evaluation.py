"""The numbers themselves, against ones that were worked out another way."""

import math

import pytest
import torch

from exports import formats
from tests.recipes.conftest import SENTENCES, sft_rows, user
from training.recipes import data, evaluation, loading
from training.recipes.run_dir import Stopped
from training.recipes.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def loaded(llama):
    tokenizer = load_tokenizer(str(llama))
    model = loading.load_causal(str(llama), tokenizer)
    return model, data.Encoder(tokenizer, 96)


def test_loss_is_the_models_own_over_all_answer_tokens(loaded) -> None:
    model, encoder = loaded
    rows = sft_rows(5)
    found = evaluation.answer_loss(model, rows, encoder, batch_size=2)
    total = tokens = hits = 0.0
    for row in rows:  # one at a time, unpadded, by the model's own loss
        example = encoder.example([*row["prompt"], *row["completion"]])
        labels = torch.tensor([example.labels])
        with torch.no_grad():
            output = model(input_ids=torch.tensor([example.input_ids]), labels=labels)
        kept = labels[0, 1:] != data.IGNORED
        total += output.loss.item() * example.trained
        hits += (output.logits[0, :-1].argmax(-1) == labels[0, 1:])[kept].sum().item()
        tokens += example.trained
    assert found["loss"] == pytest.approx(total / tokens, abs=1e-5)
    assert found["token_accuracy"] == hits / tokens
    assert found["perplexity"] == pytest.approx(math.exp(total / tokens), rel=1e-5)
    assert found["rows"] == 5


def test_a_document_counts_each_token_but_its_first_once(loaded) -> None:
    model, encoder = loaded
    text = " ".join(SENTENCES)  # longer than one piece
    ids = encoder.document(text)
    assert len(ids) > encoder.max_length
    found = evaluation.document_loss(model, [{"text": text}], encoder)
    total = 0.0
    for piece in encoder.pieces(ids):
        given = torch.tensor([piece])
        with torch.no_grad():
            total += model(input_ids=given, labels=given).loss.item() * (len(piece) - 1)
    assert found["loss"] == pytest.approx(total / (len(ids) - 1), abs=1e-5)


def test_nothing_to_measure(loaded) -> None:
    assert evaluation.answer_loss(*[loaded[0], [], loaded[1]]) == {"rows": 0}
    assert evaluation.reward_accuracy(loaded[0], [], loaded[1]) == {"pairs": 0}


def test_a_batch_answers_as_each_alone(loaded) -> None:
    model, encoder = loaded
    questions = [SENTENCES[0], "Hi", SENTENCES[2][:30]]
    prompts = [encoder.prompt(user(text)) for text in questions]
    together = evaluation.answer(model, prompts, encoder, max_new_tokens=12)
    for prompt, answer in zip(prompts, together, strict=True):
        alone = evaluation.answer(model, [prompt], encoder, max_new_tokens=12)[0]
        assert alone == answer
        ids = torch.tensor([prompt])
        for token in answer.ids:  # greedy, by plain forward passes
            with torch.no_grad():
                assert model(input_ids=ids, use_cache=False).logits[0, -1].argmax() == token
            ids = torch.cat([ids, torch.tensor([[token]])], 1)


def test_an_answer_stops_at_its_end(loaded) -> None:
    _, encoder = loaded
    eos = encoder.tokenizer.eos_token_id
    word = encoder.tokenizer("Good", add_special_tokens=False)["input_ids"]
    ended = evaluation._cut([*word, eos, 7, 7], encoder.end_ids, encoder.tokenizer)
    assert ended == evaluation.Answer([*word, eos], "Good", True)
    assert not evaluation._cut(word, encoder.end_ids, encoder.tokenizer).ended


def test_sampling_repeats_with_its_seed(loaded) -> None:
    model, encoder = loaded
    prompts = [encoder.prompt(user("Hi"))]

    def draw(seed: int) -> list[int]:
        torch.manual_seed(seed)
        found = evaluation.answer(
            model, prompts, encoder, max_new_tokens=8, temperature=1.0, top_p=0.9
        )
        return found[0].ids

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(5)}) > 1


def test_the_mode_comes_back_and_a_stop_goes_through(loaded) -> None:
    model, encoder = loaded

    def stop() -> None:
        raise Stopped

    model.train()
    with pytest.raises(Stopped):
        evaluation.answer_loss(model, sft_rows(1), encoder, check=stop)
    assert model.training
    with pytest.raises(Stopped):
        evaluation.answer(
            model, [encoder.prompt(user("Hi"))], encoder, max_new_tokens=5, check=stop
        )
    model.eval()


class Counts:
    """A reward model that counts the tokens it is given."""

    training = False
    device = torch.device("cpu")

    def eval(self) -> None: ...

    def train(self, mode: bool) -> None: ...

    def __call__(self, input_ids, attention_mask):
        class Output:
            logits = attention_mask.sum(1, keepdim=True).float()

        return Output


def test_rewards_come_back_in_the_order_given() -> None:
    texts = [[1] * n for n in (5, 2, 9, 2, 1)]
    assert evaluation.rewards(Counts(), texts, 0, batch_size=2) == [5, 2, 9, 2, 1]


def test_accuracy_and_longer_wins_count_draws_half(loaded) -> None:
    pairs = [("yes, it is", "no"), ("no", "yes, it is"), ("same", "same"), ("a long one", "a")]
    rows = [formats.preference(user("?"), better, worse) for better, worse in pairs]
    found = evaluation.reward_accuracy(Counts(), rows, loaded[1])
    assert found["accuracy"] == found["longer_wins"]["share"] == 2.5 / 4
    assert found["pairs"] == 4
    assert found["longer_wins"]["low"] < 2.5 / 4 < found["longer_wins"]["high"]


def test_spread() -> None:
    assert evaluation.spread([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert evaluation.spread([4.0]) == (4.0, 1.0)


def test_a_conversation_is_shown_with_who_said_what() -> None:
    assert evaluation.shown(user("Hi")) == "Hi"
    both = [*user("Hi"), {"role": "assistant", "content": "Yes?"}]
    assert evaluation.shown(both) == "user: Hi\nassistant: Yes?"
