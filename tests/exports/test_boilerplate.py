"""What is no answer to learn from, and answers that only speak of it."""

import pytest

from exports.boilerplate import END_MARK, PLACEHOLDER, REFUSAL, REPEATS, SELF, repeats, why

PROSE = (
    "The mill stands where the stream leaves the wood. In spring the miller opens the upper gate, "
    "and by evening the wheel turns slowly under the weight of snow water. Children come to watch "
    "it, their boots muddy from the path, and each of them knows a different story about the old "
    "stone above the door. Nobody remembers who carved it. "
)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot help you with that. I don’t know who that is.",
        "I apologize, but I cannot provide information on private persons.",
        "Sorry, I can't do that.",
        "I cannot assist with this request.",
        "I'm not able to provide medical advice.",
        "I won't help with that",
        "I must respectfully decline to participate.",
        "As an AI developed by X, I cannot provide that.",
        "Unfortunately, I am unable to fulfill your request.",
        "Es tut mir leid, aber ich kann Ihnen dabei nicht helfen.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Lo siento, pero no puedo ayudarte con eso.",
        "Mi dispiace, ma non posso aiutarti.",
        "Desculpe, mas não posso ajudar com isso.",
        "Het spijt me, maar ik kan je daar niet bij helpen.",
        "很抱歉，我无法提供这些信息。",
        "申し訳ありませんが、お手伝いできません。",
        "죄송합니다. 도와드릴 수 없습니다.",
        "Извините, но я не могу помочь с этим.",
    ],
)
def test_refusals(text):
    assert why(text) == REFUSAL


@pytest.mark.parametrize(
    "text",
    [
        "As an AI language model, I do not have feelings.",
        "Okay! As a language model, I don't have the ability to see.",
        "That is a nice thought. I am an AI assistant created by a company.",
        "My knowledge cutoff is in 2021, so this may have changed.",
        "作为一个人工智能，我没有感情。",
    ],
)
def test_what_speaks_of_itself(text):
    assert why(text) == SELF


@pytest.mark.parametrize(
    "text",
    [
        "Dear Sir,\nI write to apply.\nSincerely,\n[Your Name]",
        "I want to join [Company Name], where",
        "Dear {{ customer }}, thank you.",
        "Yours, <insert name>",
        "Insert your text here",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
    ],
)
def test_placeholders(text):
    assert why(text) == PLACEHOLDER


@pytest.mark.parametrize(
    "text",
    [
        "Paris.<|endoftext|>",
        "Paris.</s>",
        "Paris.<|im_end|>\n",
        "Paris.\n### Human:",
        "Paris. [/INST]",
        "Paris.<end_of_turn>\n<eos>",
    ],
)
def test_end_marks(text):
    assert why(text) == END_MARK


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        "",
        "Yes.",
        "Assistants refuse with phrases such as “I'm sorry, but I can't help with that.”",
        'Many answers begin with "As an AI language model, I ...", which readers dislike.',
        'print("Hello, I am an AI language model!")',
        "I can't wait to help you plan the trip!",
        "I cannot overstate how good this soup is.",
        "Sorry for the delay. The parcel left on Monday.",
        "Unfortunately, the museum is closed on Mondays.",
        "An AI language model predicts the next word.",
        "He said he can't help it; refusing is his way.",
        "Use `{{ name }}` in the template.",
        "```jinja\n<p>{{ name }}</p>\n```",
        "<html>\n<p>{{ name }}</p>\n</html>",
        "See [date](https://example.org) and [1], or array[index].",
        "The token <|endoftext|> separates the documents of the corpus, as the paper says.",
        "This is <s>wrong</s>",
        "Es tut mir leid, dass du krank bist. Trink viel Tee.",
        "对不起，我来晚了。",
    ],
)
def test_left_alone(text):
    assert why(text) == ""


def test_a_phrase_counts_where_a_model_puts_it():
    assert why(PROSE + "I'm sorry, but I can't help with that.") == ""
    assert why("I'm sorry, but I can't help with that. " + PROSE) == REFUSAL


def test_loops():
    assert why("the cat sat on the mat and " * 30) == REPEATS
    assert why(PROSE + "tech-savvy, tech-driven, tech-focused, " * 12) == REPEATS
    assert why("\n".join(["I do not know it"] * 6 + [PROSE])) == REPEATS


def test_what_comes_again_is_no_loop_yet():
    assert not repeats(PROSE * 4)  # each sentence four times: a person may well see that
    assert not repeats("\n".join(["Row, row, row your boat"] * 4 + [PROSE]))
    assert not repeats("\n".join(f"See https://www.example.org/channel/{n} here" for n in range(9)))
    assert not repeats("| 1 | 2 |\n" * 4 + PROSE)
    assert not repeats("ha " * 20)
