"""When a run goes wrong: plain rules on the stream of its metrics, each with a sentence.

    watch = Watch(run, config, step)       # at the start; `step` is that of the checkpoint, or 0
    if why := watch.look(step, values):    # after every step, with all that was measured
        ...                                # save a checkpoint, then: raise ValueError(why)
    compare(run, before, after)            # at the end; entry.perform does it for every recipe

An alarm is told once in a run, as an event alarm {"code", "text"}. `look` gives its sentence back
only where the config says on_alarm: stop. The run is then `failed`, with the sentence as its
reason, and keeps its checkpoints; if it is resumed it goes on, for it has been told. A number that
is not finite always ends the run: `look` raises, before anything of it is saved.
"""

import json
import math
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from statistics import StatisticsError, correlation, mean
from typing import Any

from training.recipes.run_dir import RunDir

WINDOW = 50  # steps that a rule looks back on at most
FIRST = 5  # of the first ones, to compare with
COIN = 0.55  # reward accuracy that is hardly better than a coin's
FEW_ENDS = 0.2  # share of answers that end by themselves
NATS_A_TOKEN = 0.5  # KL to the reference per token of the longest answer, where none is aimed at
COLLAPSED = 0.1  # of the entropy that it began with
TOGETHER = 0.7  # correlation of reward and length
LONGER = 1.2  # times as long as before
WORSE = 1.02  # times the loss of the first look


class Series:
    """A metric as it came in: how often, the first values and the last ones."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[float] = []
        self.last: deque[float] = deque(maxlen=WINDOW)

    def add(self, value: float) -> None:
        self.count += 1
        self.last.append(value)
        if len(self.first) < FIRST:
            self.first.append(value)

    def recent(self, count: int) -> float:
        """Mean of the last `count`; nan, which no rule fires on, before there are as many."""
        return mean(list(self.last)[-count:]) if self.count >= count else math.nan


Seen = Mapping[str, Series]


def coin(seen: Seen, config: Any) -> str:
    share = seen["accuracy"].recent(WINDOW)
    if not share < COIN:
        return ""
    return (
        f"Over the last {WINDOW} steps the reward model put {share:.0%} of the pairs in people's "
        "order, hardly more than a coin would: look at the pairs, the template and the learning "
        "rate."
    )


def kl(seen: Seen, config: Any) -> str:
    bound = 3 * config.kl_target or NATS_A_TOKEN * config.max_new_tokens
    found = seen["kl"].recent(FIRST)
    if not found > bound:
        return ""
    return (
        f"The policy is {found:.1f} nats an answer away from its reference, over the bound of "
        f"{bound:g}: it may be learning to please the reward model only. A higher kl_coef or a "
        "lower learning rate holds it back."
    )


def ends(seen: Seen, config: Any) -> str:
    share = seen["eos_share"].recent(2 * FIRST)
    if not share < FEW_ENDS:
        return ""
    few = f"Only {100 * share:.0f} % of the answers end" if share else "No answer ends"
    return (
        f"{few} by {'themselves' if share else 'itself'}: {'the others' if share else 'all'} are "
        f"cut off at max_new_tokens ({config.max_new_tokens}). Give them more room, or start from "
        "a model that was taught to stop."
    )


def longer(seen: Seen, config: Any) -> str:
    rewards, lengths = list(seen["reward"].last), list(seen["length"].last)
    third = len(lengths) // 3
    if len(rewards) != len(lengths) or third < 2 * FIRST:
        return ""
    begun, now = mean(lengths[:third]), mean(lengths[-third:])
    try:
        together = correlation(rewards, lengths)
    except StatisticsError:  # one of them never changes
        return ""
    if together < TOGETHER or now < LONGER * begun:
        return ""
    return (
        f"The reward rises with the length of the answers (correlation {together:.2f}; from "
        f"{begun:.0f} to {now:.0f} tokens): the reward model may be paying for length."
    )


def entropy(seen: Seen, config: Any) -> str:
    found = seen["entropy"]
    if found.count < 2 * FIRST or not found.recent(FIRST) < COLLAPSED * mean(found.first):
        return ""
    return (
        f"The policy hardly varies any more: its entropy fell from {mean(found.first):.2f} to "
        f"{found.recent(FIRST):.2f} nats a token. A higher kl_coef or a lower learning rate helps."
    )


def looks(seen: Seen, config: Any) -> str:
    found = seen["eval_loss"]
    if found.count < 2 or not found.last[-1] > WORSE * found.first[0]:
        return ""
    return (
        f"The loss on the validation rows is {found.last[-1]:.3f}, and was {found.first[0]:.3f} at "
        "the first look: it learns its rows by heart, or the learning rate is too high."
    )


def objectives(seen: Seen, config: Any) -> str:
    found = seen["eval_objective"]
    if found.count < 2 or not found.last[-1] < found.first[0] - BETTER["objective"][1]:
        return ""
    return (
        f"The objective on the validation prompts is {found.last[-1]:.3f}, and was "
        f"{found.first[0]:.3f} at the first look: a lower learning rate usually helps."
    )


# code -> rule, and the recipe whose metrics it means; none: any.
RULES: dict[str, tuple[Callable[[Seen, Any], str], str | None]] = {
    "reward_accuracy": (coin, "reward"),
    "kl": (kl, "ppo"),
    "eos_share": (ends, "ppo"),
    "length": (longer, "ppo"),
    "entropy": (entropy, "ppo"),
    "eval_worse": (looks, None),
    "objective": (objectives, "ppo"),
}
# Metrics of before and after: (1: more is better, -1: less), and what is taken for chance.
BETTER = {"loss": (-1, 0.01), "accuracy": (1, 0.01), "objective": (1, 0.05)}


class Watch:
    """The rules on one run. After a resume it knows what was measured up to the checkpoint."""

    def __init__(self, run: RunDir, config: Any, step: int = 0) -> None:
        self.run = run
        self.config = config
        self.told: set[str] = set()
        self.seen: defaultdict[str, Series] = defaultdict(Series)
        past: dict[tuple[int, str], float] = {}  # a step that was trained twice counts once
        for line in run.events_path.read_bytes().split(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if event["kind"] == "alarm":
                self.told.add(event["code"])
            elif event["kind"] == "metrics" and event["step"] <= step:
                past |= {(event["step"], name): x for name, x in event["values"].items()}
        for (_, name), value in past.items():
            self.seen[name].add(value)

    def look(self, step: int, values: Mapping[str, float]) -> str:
        """Tell the alarms that the values raise; the sentence of one that shall stop the run, else
        an empty one. Raises ValueError where a value is not finite."""
        if bad := [name for name, value in values.items() if not math.isfinite(value)]:
            text = (
                f"The {bad[0]} is not a number any more at step {step}: training has diverged. "
                "A lower learning rate usually helps."
            )
            self._tell(step, "not_finite", text)
            raise ValueError(text)
        for name, value in values.items():
            self.seen[name].add(value)
        stop = ""
        for code, (rule, recipe) in RULES.items():
            if code in self.told or recipe not in (None, self.run.spec.get("recipe")):
                continue
            if text := rule(self.seen, self.config):
                self._tell(step, code, text)
                stop = stop or (text if self.config.on_alarm == "stop" else "")
        return stop

    def _tell(self, step: int, code: str, text: str) -> None:
        self.told.add(code)
        self.run.event("alarm", step, code=code, text=text)


def compare(run: RunDir, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Tell where a run left something worse than it found it."""
    for name, (sign, chance) in BETTER.items():
        was, now = before.get(name), after.get(name)
        if not (isinstance(was, int | float) and isinstance(now, int | float)):
            continue
        if sign * (now - was) < -chance:
            text = f"It is worse than before: its {name} went from {was:.3f} to {now:.3f}."
            run.event("alarm", code="worse", text=text)
            return
