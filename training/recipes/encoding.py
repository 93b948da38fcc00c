"""Messages and texts as tokens: rendered, cut and masked once, for preflight, training and
evaluation alike, so that what is counted is what is trained."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from transformers import PreTrainedTokenizerBase

from exports import chat

IGNORED = -100  # the label of a token that is not trained on


@dataclass(frozen=True)
class Example:
    """A row to learn an answer from."""

    input_ids: list[int]
    labels: list[int]
    length: int  # before it was cut

    @property
    def trained(self) -> int:
        """Tokens that are trained on. The first token of a row is never predicted."""
        return sum(label != IGNORED for label in self.labels[1:])


@dataclass(frozen=True)
class Pair:
    """Two answers, each with the prompt before it."""

    chosen_ids: list[int]
    rejected_ids: list[int]
    start: int  # where the answers begin
    length: int  # of the longer one, before it was cut


@dataclass(frozen=True)
class Answers:
    """Answers to one prompt, apart from it."""

    prompt_ids: list[int]
    answer_ids: list[list[int]]
    length: int  # of the prompt and the longest answer, before they were cut


class Encoder:
    """Messages to the ids that a model sees, through the tokenizer's template; and texts."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.template = str(tokenizer.chat_template or "")
        self.tokens: dict[str, Any] = {
            "bos_token": tokenizer.bos_token or "",
            "eos_token": tokenizer.eos_token or "",
        }

    @cached_property
    def end_ids(self) -> list[int]:
        """Tokens that end an answer: the special token that the template writes after one (a base
        model's eos may be another), and the tokenizer's eos."""
        found: list[int] = []
        if self.template:
            mark = chr(0x2042)  # an asterism, which no template writes
            probe = [{"role": "user", "content": "?"}, {"role": "assistant", "content": mark}]
            after = self.render(probe).rpartition(mark)[2]
            special = set(self.tokenizer.all_special_ids)
            special |= {i for i, t in self.tokenizer.added_tokens_decoder.items() if t.special}
            found = [i for i in self._ids(after)[:1] if i in special]
        eos = self.tokenizer.eos_token_id
        return found + [eos] if eos is not None and eos not in found else found

    def render(self, messages: list[dict[str, Any]], *, asking: bool = False) -> str:
        return chat.render(messages, self.template, add_generation_prompt=asking, **self.tokens)

    # Conversations

    def prompt(self, messages: list[dict[str, Any]], room: int | None = None) -> list[int]:
        """The ids that ask for an answer. Where they are more than `room`, the start is cut."""
        ids = self._ids(self.render(messages, asking=True))
        return ids if room is None else ids[-room:]

    def example(self, messages: list[dict[str, Any]], *, every_turn: bool = False) -> Example:
        """A conversation whose last turn is learned, or each of the assistant's (`every_turn`). A
        row that is too long loses its end."""
        ids, trained = self._split(messages, every_turn)
        labels = [i if t else IGNORED for i, t in zip(ids, trained, strict=True)]
        return Example(ids[: self.max_length], labels[: self.max_length], len(ids))

    def dialogue(self, messages: list[dict[str, Any]]) -> list[int]:
        """A conversation with its last answer, as a reward model reads it."""
        prompt, answer = self._parts(messages)
        start, (ids,) = self._fit(prompt, [answer])
        return ids

    def pair(
        self,
        prompt: list[dict[str, Any]],
        chosen: list[dict[str, Any]],
        rejected: list[dict[str, Any]],
    ) -> Pair:
        """Two answers to one prompt, cut alike, as a reward model reads them."""
        asked, better = self._parts([*prompt, *chosen])
        _, worse = self._parts([*prompt, *rejected])
        start, (chosen_ids, rejected_ids) = self._fit(asked, [better, worse])
        return Pair(chosen_ids, rejected_ids, start, len(asked) + max(len(better), len(worse)))

    def answers(self, prompt: list[dict[str, Any]], answers: list[list[dict[str, Any]]]) -> Answers:
        """Answers whose tokens are made likelier or less likely (DPO, KTO). They are cut as a pair
        is, but an answer that is cut loses its end token, too: nobody is to learn to stop there."""
        parts = [self._parts([*prompt, *answer]) for answer in answers]
        asked, found = parts[0][0], [answer for _, answer in parts]
        longest = max(map(len, found))
        asked_ids = self._shortened(asked, self.max_length, longest)
        room = self.max_length - len(asked_ids)
        return Answers(asked_ids, [ids[:room] for ids in found], len(asked) + longest)

    def _fit(self, prompt: list[int], answers: list[list[int]]) -> tuple[int, list[list[int]]]:
        """Where the answers start, and each of them behind the prompt, within max_length. First the
        prompt loses its start, down to a quarter; then an answer its end, but for its last token,
        where the reward is read."""
        before, after = self.frame
        room = self.max_length - len(before) - len(after)
        prompt = self._shortened(prompt, room, max(map(len, answers)))
        room -= len(prompt)
        cut = [a if len(a) <= room else a[: room - 1] + a[-1:] for a in answers]
        start = len(before) + len(prompt)
        return start, [before + prompt + answer + after for answer in cut]

    @staticmethod
    def _shortened(prompt: list[int], room: int, longest: int) -> list[int]:
        """The prompt without its start where it leaves an answer no room, down to a quarter."""
        left = max(room - longest, room // 4)
        return prompt[len(prompt) - left :] if len(prompt) > left else prompt

    @cached_property
    def frame(self) -> tuple[list[int], list[int]]:
        """What a BERT-like model wants around each text; nothing for the others."""
        cls, sep = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        return ([cls], [sep]) if cls is not None and sep is not None else ([], [])

    def _parts(self, messages: list[dict[str, Any]]) -> tuple[list[int], list[int]]:
        ids, trained = self._split(messages)
        start = trained.index(True) if True in trained else len(ids)
        return ids[:start], ids[start:]

    def _split(
        self, messages: list[dict[str, Any]], every_turn: bool = False
    ) -> tuple[list[int], list[bool]]:
        """Ids of the conversation up to the end of its last answer, and which of them are trained:
        the answers with the token that ends each of them."""
        ids: list[int] = []
        trained: list[bool] = []
        ended = True  # the answer read last has its end token
        for text, is_trained in chat.segments(
            messages, self.template, every_turn=every_turn, **self.tokens
        ):
            piece = self._ids(text)
            marks = [is_trained] * len(piece)
            ends = [i for i, token in enumerate(piece) if token in self.end_ids]
            if is_trained:
                ended = bool(ends)
                if ends:  # a template's line break behind the end is nothing to learn
                    marks[ends[-1] + 1 :] = [False] * (len(piece) - ends[-1] - 1)
            elif not ended and ends[:1] == [0]:
                marks[0] = ended = True  # the template's marks leave the end out; we do not
            ids += piece
            trained += marks
        last = max((i for i, t in enumerate(trained) if t), default=-1)
        ids, trained = ids[: last + 1], trained[: last + 1]
        if last >= 0 and not ended and self.end_ids:
            ids.append(self.end_ids[-1])  # the template does not end an answer; the model must
            trained.append(True)
        return ids, trained

    def _ids(self, text: str) -> list[int]:
        # The template writes the special tokens itself. Pieces are split where a prompt ends, as
        # they are when the model is asked: what it learns is what it will see.
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    # Texts without a conversation

    def document(self, text: str) -> list[int]:
        """A text to be learnt whole: behind the begin token that the tokenizer writes, if any, and
        with its end token. Raises ValueError where the tokenizer has none."""
        end = self.tokenizer.eos_token_id
        if end is None:
            raise ValueError(
                "The tokenizer has no end token (eos), so that a model would not learn where a "
                "document ends: choose a model that has one."
            )
        ids = list(self.tokenizer(text)["input_ids"])
        return ids if ids[-1:] == [end] else [*ids, end]

    def pieces(self, ids: list[int]) -> Iterator[list[int]]:
        """A document in rows of max_length. A row starts with the last token of the one before:
        each token but the first is predicted once."""
        for start in range(0, max(len(ids) - 1, 1), self.max_length - 1):
            yield ids[start : start + self.max_length]

    def text(self, text: str) -> tuple[list[int], int]:
        """A text to be classified, cut at its end, and its length before that."""
        before, after = self.frame
        ids = self._ids(text) if before else list(self.tokenizer(text)["input_ids"])
        room = self.max_length - len(before) - len(after)
        return before + ids[:room] + after, len(before) + len(ids) + len(after)
