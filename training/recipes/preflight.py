"""Preflight: what a run would do, found out in seconds, before a GPU is touched.

    python -m training.recipes.preflight RUN_DIR

Reads spec.json as the recipe would and writes preflight.json: refusals (the run would fail or learn
nothing), warnings, rows, lengths, samples with the trained and the cut tokens marked, what it will
cost, and what would make it fit. Exact up to 20,000 rows; above, a drawn sample, and a warning says
so. No weights are read but for their hash.
"""

import random
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from exports import chat
from training.recipes import data, loading, preflight_rows
from training.recipes.artifacts import (
    TASKS,
    Artifact,
    Start,
    as_continued,
    check_base,
    check_start,
    check_weights,
    folder_sha256,
    hold_day,
    read_artifact,
    start_of,
    start_of_artifact,
)
from training.recipes.asked import Asked
from training.recipes.configs import RECIPES, parse
from training.recipes.found import Found, agreed
from training.recipes.heuristics import check_judged
from training.recipes.pair_weights import pair_weights
from training.recipes.preflight_cost import add_cost
from training.recipes.preflight_rows import Shared, Shown
from training.recipes.process import end_with_parent, sentence, use_threads
from training.recipes.quantising import check_quantising
from training.recipes.run_dir import RunDir, Stopped, write_json
from training.recipes.shapes import Shape, shape_of
from training.recipes.thumbs import check_thumbs
from training.recipes.tokenizer import is_dated, load_tokenizer

EXACT = 20_000  # rows that are read; of more, as many are drawn
SAID = 200  # rows between two words about how far it is
HASHED = 2 * 2**30  # bytes of a base model that is hashed here; a larger one waits for the run
PLAIN = ("text", "labels")  # kinds without a conversation
DATED = (
    "The chat template writes the day's date into every conversation, and in a way that cannot be "
    "held at one day: a run that goes on tomorrow, and evaluations and answers of later days, read "
    "another text than was trained. Where that matters choose a named template."
)


def main() -> None:
    """Exit code 0 also where the run is refused: preflight.json says so."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m training.recipes.preflight RUN_DIR")
    try:
        run = RunDir(sys.argv[1])
    except ValueError as error:
        sys.exit(str(error))
    end_with_parent()
    use_threads()
    write_json(run.path / "preflight.json", examine(run))


def examine(run: RunDir) -> dict[str, Any]:
    """All that can be said of the run. What goes wrong on the way is a refusal, in plain words.
    Raises Stopped where the run was asked to stop."""
    found = Found()
    try:
        _examine(run, found)
    except Stopped:
        raise
    except Exception as error:
        traceback.print_exc()
        found.refusals.append(sentence(error))
    return found.to_json()


def _examine(run: RunDir, found: Found) -> None:
    recipe = run.spec.get("recipe", "")
    config = parse(recipe, run.config)
    missing = [n for n, need in RECIPES[recipe].inputs.items() if need and n not in run.inputs]
    if missing:
        raise ValueError(f"The run has no {' and no '.join(missing)} to start from.")
    if recipe == "convert":
        return

    # 1. Weights and tokenizer.
    run.progress(0, 0, "reading the model's config")
    hold_day(run)
    found.facts["day"] = run.spec["template"]["day"]
    start = start_of(run, hashed=False)
    _check_start(start, recipe, config)
    config, vain = as_continued(start, config)
    if vain:
        found.warnings.append(vain)
    if recipe == "ppo":
        check_judged(config, run.inputs)
    judge = _judge(run) if "reward" in run.inputs else None

    # 2. Rows.
    run.progress(0, 0, "reading rows")
    asked = Asked.of(recipe, run, config)
    template = _template(run, start) if recipe == "evaluate" else run.spec.get("template")
    tokenizer = load_tokenizer(start.base, template, chat=asked.kind not in PLAIN)
    if is_dated(str(tokenizer.chat_template or "")) and asked.kind not in PLAIN:
        found.warnings.append(DATED)
    found.facts["rows"] = asked.counts
    if not asked.total:
        raise ValueError(f"There are no {asked.name}.")
    if asked.snapshot and recipe != "evaluate" and not asked.counts["test"]:
        found.warnings.append(data.no_test_note(data.evaluation_split(asked.snapshot)))
    encoder = data.Encoder(tokenizer, asked.limit)
    _read_rows(asked, encoder, run, config, found)
    if recipe == "reward" and config.weight not in ("prompt", "pair"):
        pair_weights(data.rows_of(asked.snapshot, "train"), config.weight)

    # 3. What it will cost.
    run.progress(0, 0, "working out the memory")
    add_cost(recipe, config, start, judge, asked, found, run.path)


# Weights


def _check_start(start: Start, recipe: str, config: Any) -> None:
    check_weights(start.base)
    if hasattr(config, "adaptation"):
        check_start(start, config, TASKS.get(recipe, "language model"))
        loading.in_bf16(config)
        if config.adaptation == "qlora":
            check_quantising(loading.device())
    if start.init is None:
        return
    weights = sum(file.stat().st_size for file in Path(start.base).glob("*.safetensors"))
    check_base(start.init, folder_sha256(start.base) if weights <= HASHED else "")


def _judge(run: RunDir) -> Shape:
    """The reward run of PPO or of an evaluation: it is there, is one, and has its base."""
    start = start_of_artifact(run, "reward", hashed=False)
    artifact: Artifact = start.init or read_artifact(start.base)
    if not artifact.is_reward:
        raise ValueError(f"The input `reward` was left by no reward run: it is a {artifact.kind}.")
    check_weights(start.base)
    check_weights(artifact.path)
    return shape_of(start.base, None, classifier=True)


def _template(run: RunDir, start: Start) -> dict[str, str] | None:
    """A model is measured with the template that it was trained with."""
    own = (start.init or read_artifact(start.base)).template
    return own if own.get("text") else run.spec.get("template")


# Rows


def _drawn(asked: Asked, seed: int, found: Found) -> Iterator[dict[str, Any]]:
    """All rows, or of very many a sample that the seed draws."""
    if asked.total <= EXACT:
        return asked.rows
    found.warnings.append(f"Counted on {EXACT:,} of {asked.total:,} rows, drawn at random.")
    wanted = set(random.Random(seed).sample(range(asked.total), EXACT))
    return (row for i, row in enumerate(asked.rows) if i in wanted)


def _read_rows(asked: Asked, encoder: data.Encoder, run: RunDir, config: Any, found: Found) -> None:
    seed, rows = run.seed, min(asked.total, EXACT)
    kind, prompts = asked.kind, set[str]()
    cut = lost = 0
    shown, shared, sides = Shown(seed), Shared(), Counter[str]()
    held_out: Counter[str] = Counter()
    if asked.trains:
        for row in islice(_held_out(asked.snapshot), EXACT):
            shared.expect([row])
            held_out[str(row.get("label"))] += 1
    for number, row in enumerate(_drawn(asked, seed, found), 1):
        if number % SAID == 1:
            run.progress(number - 1, rows, "counting tokens")
            if run.stop_requested:
                raise Stopped
        try:
            if number == 1 and kind not in PLAIN:
                data.check_template(encoder, [_conversation(row)])
            if kind == "prompts":
                length, trained, most = len(encoder.prompt(row["prompt"])), 1, asked.room
            else:
                _, length, trained = data.encode_row(row, encoder, kind)
                most = encoder.max_length
            if length > most and kind != "text":
                cut += 1
                texts = preflight_rows.marked(row, encoder, kind, asked.room)
                lost += sum(text.lost for text in texts)
        except chat.ChatError as error:
            raise ValueError(f"Row {number}: {error}") from None
        found.lengths.append(length)
        found.untrainable += not trained
        sides[str(row.get("label"))] += 1
        if kind == "unpaired" and len(prompts) < 2:
            prompts.add(preflight_rows.question(row))
        shown.see(number, row, length)
        shared.see(row)
    read = len(found.lengths)
    found.facts |= {
        "lengths": preflight_rows.histogram(found.lengths),
        "truncated_share": cut / read,
        "answer_tokens_lost": lost,
        "untrainable_rows": found.untrainable,
        "samples": shown.samples(encoder, kind, asked.room),
    }
    _say_cut(asked, read, cut, lost, found)
    if not asked.trains:
        return
    _say_shared(shared.facts(), found)
    if kind == "unpaired":
        up, down = sides["True"], sides["False"]
        found.facts["thumbs"] = {"up": up, "down": down}
        if note := check_thumbs(up, down, len(prompts), config):
            found.warnings.append(note)
    if kind == "labels":
        found.labels = len(sides)
        found.facts["labels"] = dict(sides.most_common(50))
        found.warnings += preflight_rows.label_warnings(sides, held_out)


def _held_out(snapshot: str) -> Iterator[dict[str, Any]]:
    return chain(data.rows_of(snapshot, "test"), data.rows_of(snapshot, "validation"))


def _say_cut(asked: Asked, read: int, cut: int, lost: int, found: Found) -> None:
    none = found.untrainable
    room = asked.room if asked.kind == "prompts" else asked.limit
    if none == read:
        found.refusals.append(
            f"None of the {read} {asked.name} has anything to train on within {room} tokens: raise "
            "max_length, or choose shorter rows."
        )
    elif none:
        found.warnings.append(
            f"{none} of {read} rows {agreed(none, 'has', 'have')} nothing to train on within "
            f"{room} tokens and will be left out."
        )
    if cut / read > 0.2:
        answers = f" ({lost:,} tokens of answers)" if lost else ""
        knob = "max_length" if asked.snapshot else "max_prompt_tokens"
        found.warnings.append(
            f"{cut} of {read} rows {agreed(cut, 'is', 'are')} longer than {room} tokens and will "
            f"be cut{answers}. The longest has {max(found.lengths):,}: raise {knob} as far as "
            "model and memory allow."
        )


def _say_shared(facts: dict[str, Any], found: Found) -> None:
    if not facts["count"]:
        return
    found.facts["shared_prompts"] = facts
    some = ", ".join(f"“{text}”" for text in facts["examples"])
    found.warnings.append(
        f"{facts['count']} of {facts['of']} prompts of the validation and test rows "
        f"{agreed(facts['count'], 'is', 'are')} among the training rows, too (but for case and "
        f"spaces): what is measured on them flatters. {some}"
    )


def _conversation(row: dict[str, Any]) -> list[dict[str, Any]]:
    return chat.to_messages(row, "chosen" if "chosen" in row else "completion")


if __name__ == "__main__":
    main()
