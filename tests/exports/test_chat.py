"""Rendering without a tokenizer: the same bytes as transformers, and what of them is trained."""

from datetime import datetime

import pytest

from exports.chat import TEMPLATES, ChatError, render, segments, to_messages

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "And <b>you</b>? {{ 7 * 7 }} “ü” 你好"},
    {"role": "assistant", "content": "Fine,\n\nthank you. "},
]
TOOLS = [{"type": "function", "function": {"name": "look", "description": "É <look>"}}]
# The shapes of templates that models bring: loops, namespaces, macros, filters, white space.
FOREIGN = {
    "zephyr": (
        "{% for message in messages %}\n{% if message['role'] == 'user' %}\n"
        "{{ '<|user|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'system' %}\n"
        "{{ '<|system|>\n' + message['content'] + eos_token }}\n"
        "{% elif message['role'] == 'assistant' %}\n"
        "{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
        "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n"
        "{% endif %}\n{% endfor %}"
    ),
    "llama": (
        "{{- bos_token }}\n{%- set ns = namespace(system='') %}\n"
        "{%- for message in messages %}\n    {%- if message.role == 'system' %}\n"
        "        {%- set ns.system = message.content | trim %}\n    {%- else %}\n"
        "        {{- '<|start|>' + message.role + '\\n' + ns.system + message.content | trim }}"
        "{{- '<|eot|>' }}\n    {%- endif %}\n{%- endfor %}\n"
        "{%- if add_generation_prompt %}\n    {{- '<|start|>assistant\\n' }}\n{%- endif %}"
    ),
    "tools": (
        "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n"
        "{{ tool | tojson(indent=2) }}{% endfor %}{% endif %}"
        "{% for message in messages %}{% if loop.index0 == 4 %}{% break %}{% endif %}"
        "{{ message | tojson }}{% endfor %}"
    ),
    "macro": (
        "{% macro turn(m) %}[{{ m.role }}] {{ m.content }}{% endmacro %}"
        "{% for m in messages %}{% if m.role == 'assistant' %}"
        "{% generation %}{{ turn(m) }}{{ eos_token }}{% endgeneration %}"
        "{% else %}{{ turn(m) }}{% endif %}{{ dict(a=1).a }}{% endfor %}"
    ),
    "dated": "{{ strftime_now('%Y') }}{% for m in messages %}{{ m.content }}{% endfor %}",
}


def trained(pieces) -> list[str]:
    return [text for text, on in pieces if on]


def test_chatml() -> None:
    assert render(TALK[:3], TEMPLATES["chatml"]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello?<|im_end|>\n"
        "<|im_start|>assistant\nHi.<|im_end|>\n"
    )
    asked = render(TALK[:2], TEMPLATES["chatml"], add_generation_prompt=True)
    assert asked.endswith("Hello?<|im_end|>\n<|im_start|>assistant\n")


def test_instruction() -> None:
    turns = [{"role": "user", "content": "Sum up.", "context": "A long story."}]
    answer = {"role": "assistant", "content": "Short."}
    asked = "### Instruction:\nSum up.\n\n### Context:\nA long story.\n\n### Response:\n"
    template = TEMPLATES["instruction"]
    assert render(turns, template, add_generation_prompt=True) == asked
    whole = render([*turns, answer], template, bos_token="<s>", eos_token="</s>")
    assert whole == f"<s>{asked}Short.</s>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_answer_and_its_end_are_trained_and_nothing_else(name: str) -> None:
    end = "<|im_end|>" if name == "chatml" else "</s>"
    pieces = segments(TALK, TEMPLATES[name], eos_token="</s>")
    assert "".join(text for text, _ in pieces) == render(TALK, TEMPLATES[name], eos_token="</s>")
    assert trained(pieces) == ["Fine,\n\nthank you. " + end]
    every = segments(TALK, TEMPLATES[name], eos_token="</s>", every_turn=True)
    assert trained(every) == ["Hi." + end, "Fine,\n\nthank you. " + end]


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_prompt_alone_trains_nothing(name: str) -> None:
    assert trained(segments(TALK[:-1], TEMPLATES[name])) == []


def test_without_marks_the_answer_is_what_it_adds() -> None:
    plain = TEMPLATES["chatml"].replace("{% generation %}", "").replace("{% endgeneration %}", "")
    assert trained(segments(TALK, plain)) == ["Fine,\n\nthank you. <|im_end|>\n"]
    both = segments(TALK, plain, every_turn=True)
    assert trained(both) == ["Hi.<|im_end|>\n", "Fine,\n\nthank you. <|im_end|>\n"]
    assert "".join(text for text, _ in both) == render(TALK, plain)


def test_marks_are_found_in_text_that_looks_like_marks() -> None:
    odd = [{"role": "user", "content": "\ufdd0?"}, {"role": "assistant", "content": "a\ufdd1b"}]
    assert trained(segments(odd, TEMPLATES["chatml"])) == ["a\ufdd1b<|im_end|>"]


def test_a_template_that_drops_the_turn_trains_nothing() -> None:
    users = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    assert trained(segments(TALK, users)) == []


def test_a_missing_value_is_a_missing_key() -> None:
    template = (
        "{% for m in messages %}{{ m.content is defined }}{{ m.name is defined }}{% endfor %}"
    )
    turns = [{"role": "user", "content": None, "name": None}]
    assert render(turns, template) == "FalseFalse"
    chatml = render([{"role": "user", "content": None}], TEMPLATES["chatml"])
    assert chatml == "<|im_start|>user\n<|im_end|>\n"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for m in messages %}", "says"),
        ("{{ messages[0].content + 1 }}", "does not fit"),
        ("{{ messages[9].content.x.y }}", "says"),
    ],
)
def test_a_template_that_fails_says_why(template: str, words: str) -> None:
    with pytest.raises(ChatError, match=words):
        render(TALK, template)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update(role='x') }}",
        "{{ cycler.__init__.__globals__ }}",
        "{% set ns = namespace() %}{% set ns.__x = 1 %}",
        "{{ range(10 ** 9) | list }}",
    ],
)
def test_a_template_is_kept_in_its_box(template: str) -> None:
    with pytest.raises(ChatError):
        render(TALK, template)


def test_the_date_is_today() -> None:
    assert render([], FOREIGN["dated"]) == datetime.now().strftime("%Y")


def test_to_messages() -> None:
    row = {"prompt": TALK[:2], "completion": TALK[2:3]}
    assert to_messages(row) == TALK[:3]
    assert to_messages({"messages": TALK}) == TALK
    assert to_messages({"prompt": TALK[:2]}) == TALK[:2]
    pair = {"prompt": TALK[:2], "chosen": TALK[2:3], "rejected": TALK[4:]}
    assert to_messages(pair, "rejected") == [*TALK[:2], TALK[4]]


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<unk>": 2}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.recipe
@pytest.mark.parametrize("name", [*TEMPLATES, *FOREIGN])
@pytest.mark.parametrize("ask", [False, True])
@pytest.mark.parametrize("tools", [None, TOOLS])
def test_the_bytes_are_those_of_transformers(tokenizer, name: str, ask: bool, tools) -> None:
    template = (TEMPLATES | FOREIGN)[name]
    for turns in (TALK[1:2], TALK[:4], TALK, [{"role": "user", "content": None, "extra": [1]}]):
        given = {"chat_template": template, "tools": tools, "add_generation_prompt": ask}
        try:
            theirs = tokenizer.apply_chat_template(turns, tokenize=False, **given)
        except Exception:  # whatever it is, we must not render what transformers refuses
            with pytest.raises(ChatError):
                render(turns, template, add_generation_prompt=ask, tools=tools)
            continue
        tokens = {"bos_token": "<s>", "eos_token": "</s>"}
        ours = render(turns, template, add_generation_prompt=ask, tools=tools, **tokens)
        assert ours.encode() == theirs.encode()


def test_an_answer_that_begins_as_the_asking_text_goes_on_is_trained_whole() -> None:
    """The template opens a thought where it asks, and shows answers without one."""
    template = (
        "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}<e>\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]\n<think>\n{% endif %}"
    )
    for said in ("<table>", "No"):
        talk = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": said}]
        pieces = segments(talk, template)
        assert pieces == [("[user]\nQ<e>\n[assistant]\n", False), (f"{said}<e>\n", True)]


def test_words_of_an_answer_that_stand_further_up_are_not_the_answer() -> None:
    """The template shows a call of a tool without the words beside it, which the user said too."""
    template = (
        "{% for m in messages %}[{{ m.role }}]{{ m.tool_calls or m.content }}<e>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    call = {"role": "assistant", "content": "OK", "tool_calls": "look()"}
    pieces = segments([{"role": "user", "content": "OK?"}, call], template)
    assert pieces == [("[user]OK?<e>[assistant]", False), ("look()<e>", True)]
