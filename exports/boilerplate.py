"""Refusals, a model that speaks of itself, template leftovers and loops. Pure.

Phrases count where a model puts them: a refusal at the beginning, an end mark at the end. A text
that quotes or discusses them is left alone. The lists were made from what assistants are known to
say; they are short on purpose, for what they miss a person can still see."""

import re
from collections import Counter

from exports.folding import fold

REFUSAL = "a refusal"
SELF = "speaks of itself as an AI"
PLACEHOLDER = "a placeholder"
END_MARK = "a model's end mark"
REPEATS = "repeats itself"

_OPENING = 240  # characters in which a refusal begins
_REFUSALS = (
    # English
    r"(?:i(?:'m| am) (?:(?:very|so|really|truly) )?sorry,? (?:but )?|sorry,? (?:but )?"
    r"|unfortunately,? "
    r"|i apologi[sz]e,? (?:but )?|my apologies,? (?:but )?|as an ai[^.,]{0,40},? )?"
    r"i(?:'m| am)? (?:just )?(?:can(?:no|')t|can not|won't|will not|not able to|unable to"
    r"|not (?:comfortable|going to be)|not programmed to|must (?:respectfully )?decline"
    r"|(?:do not|don't) feel comfortable)"
    r" (?:to )?(?:(?:in good conscience|ethically|help|helping|assist|assisting|fulfill?|comply"
    r"|complete (?:this|that|your)|provide|providing|do that|do this|generate|create|write|produce"
    r"|engage|participate|answer|discuss|support|share|offer|give (?:you )?(?:instructions|advice)"
    r"|continue with|condone|encourage|promote)\b|with (?:that|this|your))",
    r"i(?:'m| am) (?:afraid|sorry),? (?:but )?i (?:can(?:no|')t|can not|won't|am unable"
    r"|must decline)",
    # German, French, Spanish, Italian, Portuguese, Dutch
    r"(?:(?:es )?tut mir leid|entschuldigung|leider),? (?:aber )?(?:ich )?(?:kann|darf|werde)"
    r" (?:ich )?(?:ihnen |dir |dabei |das |diese[rsmn]? )?[^.]{0,40}\bnicht\b",
    r"(?:je suis désolée?|désolée?|malheureusement),? (?:mais )?je ne (?:peux|suis) pas",
    r"(?:lo siento|lo lamento),? (?:pero )?no (?:puedo|me es posible)",
    r"mi dispiace,? (?:ma )?non (?:posso|sono in grado)",
    r"(?:desculpe|sinto muito|lamento),? (?:mas )?(?:eu )?não posso",
    r"(?:het spijt me|sorry),? (?:maar )?ik kan (?:u |je )?[^.]{0,40}\bniet\b",
    # Chinese, Japanese, Korean, Russian
    r"(?:很抱歉|非常抱歉|抱歉|对不起)[，,。 ]*(?:但)?(?:我|作为)[^。]{0,20}(?:无法|不能)",
    r"(?:申し訳(?:ありません|ございません)|すみません)[^。]{0,20}(?:できません|お答えでき|お手伝いでき)",
    r"(?:죄송합니다|죄송하지만)[^\n]{0,40}(?:수 없습니다|어렵습니다)",
    r"(?:извините|к сожалению|простите),? (?:но )?я не (?:могу|в состоянии)",
)
_REFUSED = re.compile(rf"[\s\"“'*#>-]{{0,8}}(?:{'|'.join(_REFUSALS)})", re.IGNORECASE)
_SELF = re.compile(
    r"(?<![\"“”'‘’«„\w])(?:"
    r"as an? (?:ai|artificial intelligence|large language|language)(?:[ -](?:language|powered))?"
    r"(?: (?:model|assistant|chatbot|system|program))?(?: (?:trained|developed|created) by \w+)?,"
    r" (?:i|my)\b"
    r"|i(?:'m| am) (?:just |only |merely )?(?:an? )(?:ai|artificial intelligence|large language"
    r"|language)(?: language)? (?:model|assistant|chatbot)\b"
    r"|(?:my|as of my) (?:knowledge|training data) (?:cut-?off|was last updated|only goes up to)"
    r"|als (?:ki|ki-|großes )?-?sprachmodell (?:kann|habe|bin) ich"
    r"|en tant qu(?:e|'|’)? ?(?:ia|intelligence artificielle|modèle de langage)[^.,]{0,30}, je"
    r"|como (?:modelo de (?:lenguaje|linguagem)|una? ia|inteligencia artificial)[^.,]{0,30},"
    r")|作为一个?(?:人工智能|AI|ai|大?语言模型)[^。]{0,12}，我|(?:私は|わたしは)AI(?:言語モデル|アシスタント)",
    re.IGNORECASE,
)
# One of them is in each, in small letters.
_SELF_SIGNS = (
    *("an ai", "artificial", "language", "knowledge", "training data"),
    *("sprachmodell", "langage", "artificielle", " ia", "modelo", "人工智能", "语言模型"),
    *("为一个ai", "为ai", "はai"),
)
_QUOTED = re.compile(r"[\"“„«][^\"“”»\n]{0,300}[\"”“»]|(?<!\w)['‘][^'‘’\n]{0,300}['’](?!\w)")
# By the sign that each begins with, which is looked for first.
_PLACEHOLDERS = {
    sign: re.compile(pattern, re.IGNORECASE)
    for sign, pattern in {
        "[": r"\[(?:your|insert|enter|add|recipient(?:'s)?|company|customer|client|employer"
        r"|candidate|manager|sender)(?: [\w'’/-]+){0,5}\](?!\()"
        r"|\[(?:name|date|address|city|state|email|phone number|position|job title)\](?!\()",
        "<": r"<(?:insert|your|enter) [\w '’-]{1,40}>",
        "{{": r"\{\{\s*[\w.]+\s*\}\}",
        "nsert ": r"\binsert [\w'’-]+(?: [\w'’-]+){0,4} here\b",
        "orem ipsum": r"\blorem ipsum dolor\b",
        "TODO: ": r"\bTODO: (?:write|add|fill)",
    }.items()
}
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_END_MARK = re.compile(
    r"(?:<\|(?:endoftext|im_end|im_start|eot_id|end|end_of_text|end_of_turn|assistant|user|system)\|>"
    r"|<end_of_turn>|<start_of_turn>|\[/INST\]|\[INST\]|<<SYS>>|</s>"
    r"|(?:\A|\n)###? ?(?:human|assistant|instruction|response|user|input):?\s*(?:\n|\Z))",
    re.IGNORECASE,
)
_AFTER = 24  # characters that may follow an end mark: another one


def why(text: str) -> str:
    """Why the text is no answer to learn from: "" (it may be one) or a short reason."""
    if _REFUSED.match(text[:_OPENING].replace("’", "'")):
        return REFUSAL
    if _ends_with_mark(text):
        return END_MARK
    if _speaks_of_itself(text):
        return SELF
    if _has_placeholder(text):
        return PLACEHOLDER
    if repeats(text):
        return REPEATS
    return ""


def _has_placeholder(text: str) -> bool:
    likely = [pattern for sign, pattern in _PLACEHOLDERS.items() if sign in text]
    if not any(pattern.search(text) for pattern in likely):
        return False
    bare = _CODE.sub(" ", text)
    return not _is_code(bare) and any(pattern.search(bare) for pattern in likely)


def _speaks_of_itself(text: str) -> bool:
    small = text.casefold()
    if not any(sign in small for sign in _SELF_SIGNS) or not _SELF.search(text):
        return False
    return bool(_SELF.search(_QUOTED.sub(" ", _CODE.sub(" ", text))))  # not in what it quotes


def _ends_with_mark(text: str) -> bool:
    tail = text[-80:]
    marks = list(_END_MARK.finditer(tail))
    if not marks or len(tail) - marks[-1].end() > _AFTER:
        return False
    return not (marks[-1][0] == "</s>" and "<s>" in text)  # struck-out text in HTML


def _is_code(text: str) -> bool:
    """Whether placeholders are the text's own: a template, or a program that fills it."""
    return bool(
        re.search(r"^\s*(?:def |class |import |function |<[a-z]+[ >]|#include|\{%)", text, re.M)
    )


_ADDRESS = re.compile(r"https?://\S+")


def repeats(text: str) -> bool:
    """Whether it is caught in a loop: the same four words in a row make a third of a text of 60
    words or more, or the same line, of three words or more, comes six times one after the other."""
    found = fold(_ADDRESS.sub(" ", text) if "://" in text else text).split()
    if len(found) >= 60:
        # Each of the four comes in a twelfth of the words: in plain prose hardly one does.
        times = Counter(found)
        often = {word for word, count in times.items() if 12 * count >= len(found)}
        if 4 * sum(times[word] for word in often) >= len(found):
            grams = Counter(zip(found, found[1:], found[2:], found[3:], strict=False))
            ((_, most),) = grams.most_common(1)
            if most >= 6 and 12 * most >= len(found):
                return True
    if text.count("\n") < 5:
        return False
    line, row = "", 0
    for one in text.split("\n"):
        one = one.strip()
        if not one:
            continue
        row = row + 1 if one == line else 1
        line = one
        if row >= 6 and len(one.split()) >= 3:
            return True
    return False
