"""Rewards by rule: what an answer's words alone are worth, from 0 to 1.

    length   rule_value "20-80": 1 where the answer has so many words, less the further it is away
    keyword  rule_value "refund, sorry": the share of these words that it has, case ignored
    regex    rule_value a pattern: 1 where it is found
    exact    rule_value a text: 1 where the answer is this and nothing else, case ignored

Nothing else can be named: a rule is data, no code. Patterns are the user's, and a few letters of
one can search for years; the timeout of an engine within this process was tried and not kept.
They are searched in a process of their own with hard limits, which ends the run with a sentence.
Prompts bring no reference along, so nothing is matched against one.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Container, Sequence
from typing import Any

Rule = Callable[[Sequence[str]], list[float]]  # of texts
SECONDS = 1  # of the processor's time, for all answers of a batch; an honest pattern takes none
PATIENCE = 30  # by the clock, of a busy machine
MIB = 512
LONGEST = 500  # characters of a pattern
MOST_WORDS = 10_000
# Reads {"pattern", "texts"} and writes a list of booleans, or exits with what is wrong.
SEARCH = f"""
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, ({SECONDS}, {SECONDS}))
resource.setrlimit(resource.RLIMIT_AS, ({MIB} << 20, {MIB} << 20))
given = json.load(sys.stdin)
try:
    compiled = re.compile(given["pattern"])
except (re.error, OverflowError) as error:
    sys.exit(f"unreadable: {{error}}")
print(json.dumps([compiled.search(text) is not None for text in given["texts"]]))
"""


def rule_of(config: Any) -> Rule | None:
    """The rule that a config names, None for `none`. Raises ValueError where its value is no value
    for it."""
    if config.rule == "none":
        return None
    rule: Rule = RULES[config.rule](config.rule_value.strip())
    return rule


def check_judged(config: Any, inputs: Container[str]) -> None:
    """Raise ValueError where neither an input `reward` nor a rule would judge the answers, or the
    rule has no usable value."""
    if rule_of(config) is None and "reward" not in inputs:
        raise ValueError(
            "Nothing would judge the answers: give a reward run (the input `reward`), a rule (the "
            "knob `rule`), or both."
        )


def length(value: str) -> Rule:
    found = re.fullmatch(r"(\d{1,5})\s*-\s*(\d{1,5})", value)
    low, high = map(int, found.groups()) if found else (0, 0)
    if not 1 <= low <= high <= MOST_WORDS:
        raise ValueError(
            "The rule length needs words from and to, such as 20-80, as its rule_value"
            + (f"; not {value!r}." if value else ".")
        )

    def worth(text: str) -> float:
        words = len(text.split())
        return words / low if words < low else high / max(words, high)

    return lambda texts: [worth(text) for text in texts]


def keyword(value: str) -> Rule:
    words = [word for part in value.split(",") if (word := part.strip().lower())]
    if not words:
        raise ValueError("The rule keyword needs words as its rule_value: refund, sorry.")
    patterns = [re.compile(rf"(?<!\w){re.escape(word)}(?!\w)") for word in words]

    def worth(text: str) -> float:
        return sum(p.search(text.lower()) is not None for p in patterns) / len(patterns)

    return lambda texts: [worth(text) for text in texts]


def pattern(value: str) -> Rule:
    if not 0 < len(value) <= LONGEST:
        raise ValueError(
            f"The rule regex needs a pattern of 1 to {LONGEST} characters as its rule_value."
        )
    search(value, [])  # is it one at all
    return lambda texts: [float(found) for found in search(value, texts)]


def search(value: str, texts: Sequence[str]) -> list[bool]:
    """Which texts a pattern is found in. Raises ValueError where it is none, or takes too much."""
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", SEARCH],
            input=json.dumps({"pattern": value, "texts": list(texts)}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is not None and done.returncode == 0:
        found: list[bool] = json.loads(done.stdout)
        return found
    if done is not None and done.stderr.startswith("unreadable: "):
        why = done.stderr.strip().removeprefix("unreadable: ")
        raise ValueError(f"The pattern {value!r} (rule_value) cannot be read: {why}.")
    raise ValueError(
        f"The pattern {value!r} (rule_value) takes more than {SECONDS} s or {MIB} MiB to search an "
        "answer: say it without repetitions within repetitions."
    )


def exact(value: str) -> Rule:
    if not value:
        raise ValueError("The rule exact needs the one right answer as its rule_value.")
    return lambda texts: [float(text.strip().lower() == value.lower()) for text in texts]


RULES: dict[str, Callable[[str], Rule]] = {
    "length": length,
    "keyword": keyword,
    "regex": pattern,
    "exact": exact,
}
