"""The preflight on the page: marked rows, memory term by term, changes that can be used."""

import html
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.template.loader import render_to_string

from training import preflight_report
from training.events import clean

FOUND: dict[str, Any] = {
    "ok": True,
    "rows": {"train": 8, "validation": 1, "test": 4},
    "adaptation": "LoRA of rank 16: 1.8 % of the weights are trained (4.9 of 139 million).",
    "memory": {
        "needed_mib": 2550, "available_mib": 16000, "growth_mib": 2000, "moment": "training",
        "terms": [["weights", 500], ["activations", 1450]],
    },
    "samples": [
        {
            "which": "drawn",
            "row": 3,
            "texts": [
                {"name": "chosen", "tokens": 9, "parts": [["Why?", ""], ["<b>", "trained"]]},
                {"name": "rejected", "tokens": 12, "lost": 1200, "parts": [["No end", "cut"]]},
            ],
        }
    ],
}  # fmt: skip
REFUSED = FOUND | {
    "ok": False,
    "refusals": ["It needs about 2,550 MiB of memory and 900 are free."],
    "fits": [
        {"text": "batch_size 1 with accumulation 4", "needed_mib": 800, "fits": True,
         "config": {"batch_size": 1, "accumulation": 4}},
        {"text": "checkpointing on", "needed_mib": 1200, "fits": False,
         "config": {"checkpointing": "on"}},
    ],
}  # fmt: skip


def page(found: dict[str, Any]) -> str:
    context = {
        "report": preflight_report.shown(clean(found)),  # as preflights.py reads it
        "verdict": SimpleNamespace(url="/datasets/7/train/preflight/", prefix="sft", busy=False),
    }
    return html.unescape(render_to_string("training/_preflight.html", context))


def test_rows_are_shown_with_what_is_learned_and_what_is_cut() -> None:
    shown = page(FOUND)
    assert "Drawn at random: row 3" in shown
    assert "<mark><b></mark>" in shown and "<del>No end</del>" in shown
    assert "1,200 tokens of the other answer are cut" in shown
    assert "LoRA of rank 16: 1.8 %" in shown


def test_of_prompts_nothing_is_said_to_be_learned() -> None:
    assert "<mark>learned</mark>, read, <del>cut</del></small>" in page(FOUND)
    prompts = [{"which": "longest", "row": 1, "texts": [{"parts": [["Why?", ""]], "tokens": 3}]}]
    assert "as the model sees them: read</small>" in page(FOUND | {"samples": prompts})


def test_memory_is_told_term_by_term() -> None:
    shown = page(FOUND)
    assert "while training" in shown and "2.5 GB of 15.6 GB free" in shown
    assert re.search(r"activations</td>.*?1\.4 GB.*weights</td>.*?500 MB", shown)  # largest first
    assert "Try two steps" in shown


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        ({"ok": True, "growth_mib": 1600, "seconds": 40}, "1.6 GB beyond the libraries"),
        ({"ok": True, "growth_mib": 1600, "seconds": 40}, "worked out: 2.0 GB, 25 % too much"),
        ({"ok": True, "growth_mib": 2500, "seconds": 40}, "20 % too little"),
        ({"ok": False, "reason": "It was <killed>."}, "did not end well: It was <killed>."),
    ],
)
def test_steps_that_were_tried_stand_beside(probe: dict[str, Any], words: str) -> None:
    shown = page(FOUND | {"probe": probe})
    assert words in shown and "Try two steps" not in shown


def test_a_change_that_fits_can_be_used() -> None:
    shown = page(REFUSED)
    assert '"sft-batch_size": "1", "sft-accumulation": "4"' in shown
    assert shown.count("Use it") == 1 and "not enough" in shown
    assert "Try two steps" not in shown


@pytest.mark.parametrize(
    "odd",
    [
        {"memory": []}, {"memory": {"terms": [["weights", "much"], [1]]}}, {"probe": 3},
        {"samples": [[["old", True]]]},
        {"samples": [{"texts": [{"parts": [None, 3, "ab"]}]}]}, {"labels": {"a": "b"}},
        {"fits": {"x": 1}}, {},
        {"rows": {"train": None}}, {"packing": {"filled": "x"}}, {"lengths": {"edges": [0, 1]}},
    ],
)  # fmt: skip
def test_what_is_missing_or_odd_is_left_out(odd: dict[str, Any]) -> None:
    assert "nothing against it" in page({"ok": True, **odd})


def test_what_is_good_is_not_said_beside_what_is_not() -> None:
    assert "nothing against it" in page(FOUND)
    warned = page(FOUND | {"warnings": ["All rows are <cut>."]})
    assert "nothing against it" not in warned
    assert "It can start." in warned and "All rows are <cut>." in warned


@pytest.mark.parametrize(
    ("share", "said"),
    [(1, "100 %"), (0.996, "over 99 %"), (0.29, "29 %"), (0.018, "1.8 %"), (0, "0 %")],
)
def test_shares_are_read_at_a_glance(share: float, said: str) -> None:
    assert f"<b>{said}</b><small>of the rows are cut" in page(FOUND | {"truncated_share": share})


def test_labels_and_thumbs() -> None:
    shown = page(FOUND | {"labels": {"spam <x>": 30, "fine": 1200}, "thumbs": {"up": 5, "down": 2}})
    assert "spam <x>" in shown and "1,200" in shown and "5 / 2" in shown
