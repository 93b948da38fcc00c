"""Real rows and broken files: exact counts, direction proved row by row, nothing left behind.

The numbers were worked out from the raw files by other means than the importer's."""

import gzip
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation import importing
from annotation.models import Import, Item, Prompt, Ranking, Response, Stage, Submission
from annotation.records import Refused

MADE = ("prompts", "responses", "rankings")


@pytest.fixture
def bring(cast, sample_data: Path) -> Callable[..., dict[str, Any]]:
    def act(name: str, skip_bad: bool = False) -> dict[str, Any]:
        import_row = importing.create(
            project=cast.project, user=cast.lee, path=sample_data / name, skip_bad=skip_bad
        )
        report = importing.run_now(import_row)
        assert report["rows"] == sum(
            (report["imported"], report["updated"], report["unchanged"], len(report["refused"]))
        )
        return report

    return act


def verdicts(report: dict[str, Any]) -> tuple[int, ...]:
    names = ("rows", "imported", "updated", "unchanged")
    return (*(report[name] for name in names), len(report["refused"]))


def made(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report[name] for name in MADE)


def rows_of(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    if path.suffix == ".json":
        return json.loads(text)
    return [json.loads(line) for line in text.split("\n") if line.strip()]


def texts(order: list[list[int]]) -> list[list[str]]:
    return [[Response.objects.get(pk=pk).text for pk in group] for group in order]


@pytest.mark.parametrize(
    ("name", "layout", "expected", "things"),
    [
        ("formats/gpteacher_roleplay.csv", "instruction", (500, 500, 0, 0, 0), (500, 500, 0)),
        ("formats/gpteacher_roleplay.parquet", "instruction", (500, 500, 0, 0, 0), (500, 500, 0)),
        ("hh/harmless_base_test.jsonl.gz", "hh", (110, 109, 0, 0, 1), (109, 218, 109)),
        ("hh/harmless_base_train.jsonl.gz", "hh", (392, 389, 1, 0, 2), (389, 780, 390)),
        ("oasst/en_100_tree.jsonl", "oasst_trees", (38, 38, 0, 0, 0), (184, 269, 82)),
        ("oasst/oasst1_en.trees.jsonl.gz", "oasst_trees", (65, 65, 0, 0, 0), (261, 448, 152)),
        ("oasst/oasst1_en_messages.jsonl", "oasst_messages", (724, 709, 0, 0, 15), (261, 448, 152)),
        (
            "oasst/oasst1_en_messages.parquet",
            "oasst_messages",
            (724, 709, 0, 0, 15),
            (261, 448, 152),
        ),
        ("pairs/llmbar_gptinst.json", "llmbar", (38, 38, 0, 0, 0), (38, 76, 38)),
        ("pairs/llmbar_gptout.json", "llmbar", (17, 17, 0, 0, 0), (17, 34, 17)),
        ("pairs/llmbar_manual.json", "llmbar", (21, 21, 0, 0, 0), (21, 42, 21)),
        ("pairs/llmbar_natural.json", "llmbar", (42, 42, 0, 0, 0), (42, 84, 42)),
        ("pairs/llmbar_neighbor.json", "llmbar", (51, 51, 0, 0, 0), (51, 102, 51)),
        ("pairs/mt_bench_human200.json", "llmbar", (61, 23, 37, 1, 0), (23, 92, 60)),
        ("pairs/pandalm_testset.json", "pandalm", (411, 70, 323, 0, 18), (70, 292, 1179)),
        ("ranking/oasst1_ranked.jsonl", "ranked", (152, 152, 0, 0, 0), (152, 429, 152)),
        ("sft/argilla_curated_layout.jsonl", "curated_dolly", (67, 67, 0, 0, 0), (67, 67, 0)),
        ("sft/dolly_fields.jsonl", "dolly", (67, 67, 0, 0, 0), (67, 67, 0)),
        ("sft/dolly_prompted.jsonl", "instruction", (67, 67, 0, 0, 0), (67, 67, 0)),
        ("sft/gpteacher_codegen.json", "instruction", (500, 500, 0, 0, 0), (500, 500, 0)),
        ("sft/gpteacher_roleplay.json", "instruction", (500, 500, 0, 0, 0), (500, 500, 0)),
        ("sft/gpteacher_toolformer.json", "instruction", (200, 200, 0, 0, 0), (200, 200, 0)),
        ("sft/gsm8k_train.jsonl", "instruction", (600, 600, 0, 0, 0), (600, 600, 0)),
        ("sft/self_instruct_seed_tasks.jsonl", "self_instruct", (80, 80, 0, 0, 0), (80, 80, 0)),
        (
            "sft/user_oriented_instructions.jsonl",
            "self_instruct",
            (108, 108, 0, 0, 0),
            (108, 108, 0),
        ),
        ("sharegpt/dpo_en_demo.json", "pairs", (101, 101, 0, 0, 0), (101, 202, 101)),
        ("sharegpt/dpo_zh_demo.json", "pairs", (54, 53, 0, 1, 0), (53, 106, 53)),
        ("sharegpt/fastchat_dummy.json", "sharegpt", (131, 131, 0, 0, 0), (258, 258, 0)),
        ("sharegpt/glaive_toolcall_en_demo.json", "sharegpt", (86, 64, 13, 9, 0), (171, 187, 0)),
        ("sharegpt/kto_en_demo.json", "thumbs", (88, 88, 0, 0, 0), (88, 88, 0)),
        ("text/pubmed_abstracts.txt", "text", (200, 200, 0, 0, 0), (200, 200, 0)),
        ("text/pubmedqa_pqal.json", "pubmedqa", (60, 60, 0, 0, 0), (60, 60, 0)),
        ("text/wiki_lines.txt", "text", (5, 5, 0, 0, 0), (5, 5, 0)),
    ],
)
def test_counts_and_the_same_file_again(bring, name, layout, expected, things) -> None:
    report = bring(name, skip_bad=True)
    assert report["layout"] == layout
    assert verdicts(report) == expected
    assert made(report) == things
    assert made(report) == (
        Prompt.objects.live().count(),
        Response.objects.live().count(),
        Ranking.objects.count(),
    )
    again = bring(name, skip_bad=True)
    rows, refused = expected[0], expected[-1]
    assert verdicts(again) == (rows, 0, 0, rows - refused, refused)
    assert made(again) == (0, 0, 0)


def test_the_same_rows_in_three_formats_are_the_same_prompts(bring) -> None:
    bring("sft/gpteacher_roleplay.json")
    for name in ("gpteacher_roleplay.csv", "gpteacher_roleplay.parquet"):
        assert verdicts(bring(f"formats/{name}")) == (500, 0, 0, 500, 0)


def test_hh_refusals_are_explained_and_stop_all(bring) -> None:
    report = bring("hh/harmless_base_train.jsonl.gz")
    assert report["refused"] == [
        {"line": 153, "reason": "chosen is empty: there is nothing to compare"},
        {"line": 329, "reason": "chosen and rejected answer different prompts"},
    ]
    assert not Prompt.objects.exists()


def test_hh_direction_row_by_row(bring, sample_data) -> None:
    """Each file row, put together again from prompt, first and second place, is the file's."""
    bring("hh/harmless_base_train.jsonl.gz", skip_bad=True)
    rows = rows_of(sample_data / "hh/harmless_base_train.jsonl.gz")
    wanted = Counter(
        (row["chosen"], row["rejected"]) for n, row in enumerate(rows, 1) if n not in (153, 329)
    )
    marks = {"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}
    found: Counter[tuple[str, str]] = Counter()
    for ranking in Ranking.objects.select_related("submission__item__prompt"):
        prompt = ranking.submission.item.prompt
        before = "".join(marks[m["role"]] + m["content"] for m in prompt.messages)
        [[chosen], [rejected]] = texts(ranking.order)
        head = before + marks["assistant"]
        found[head + chosen, head + rejected] += 1
    assert found == wanted


def test_ranked_direction_row_by_row(bring, sample_data) -> None:
    bring("ranking/oasst1_ranked.jsonl")
    pairs = 0
    for row in rows_of(sample_data / "ranking/oasst1_ranked.jsonl"):
        prompt = Prompt.objects.get(external_id=row["prompt_id"])
        assert [m["content"] for m in prompt.messages] == [t["text"] for t in row["turns"]]
        ranked = sorted(
            (c for c in row["candidates"] if c["rank"] is not None), key=lambda c: c["rank"]
        )
        ranking = Ranking.objects.get(submission__item__prompt=prompt)
        assert texts(ranking.order) == [[c["text"]] for c in ranked]
        assert prompt.responses.count() == len(row["candidates"])
        pairs += len(ranked) * (len(ranked) - 1) // 2
    assert pairs == 396


def test_pandalm_direction_rater_by_rater(bring, sample_data) -> None:
    bring("pairs/pandalm_testset.json", skip_bad=True)
    wanted: Counter[Any] = Counter()
    for row in rows_of(sample_data / "pairs/pandalm_testset.json"):
        one, two = (
            json.dumps(said) if isinstance(said, bool) else said
            for said in (row["response1"], row["response2"])
        )
        if not one.strip() or not two.strip():
            continue
        for rater in ("annotator1", "annotator2", "annotator3"):
            order = {1: ((one,), (two,)), 2: ((two,), (one,)), 0: ((one, two),)}[row[rater]]
            wanted[row["instruction"], row["input"], rater, order] += 1
    assert sum(wanted.values()) == 1179
    found: Counter[Any] = Counter()
    spoken = dict(Response.objects.values_list("pk", "text"))
    for ranking in Ranking.objects.select_related("submission__item__prompt"):
        prompt = ranking.submission.item.prompt
        shown = ranking.submission.shown
        order = tuple(
            tuple(spoken[pk] for pk in sorted(group, key=shown.index)) for group in ranking.order
        )
        found[prompt.question, prompt.context, ranking.submission.rater, order] += 1
    assert found.total() == 1179 and set(Submission.objects.values_list("origin")) == {("import",)}
    # An answer that is spaced differently at its ends counts as the same one.
    assert _stripped(found) == _stripped(wanted)


def _stripped(count: Counter[Any]) -> Counter[Any]:
    folded: Counter[Any] = Counter()
    for (prompt, context, rater, order), number in count.items():
        places = tuple(tuple(sorted(text.strip() for text in group)) for group in order)
        folded[prompt, context, rater, places] += number
    return folded


def test_conversations_turn_by_turn(bring, sample_data) -> None:
    bring("sharegpt/fastchat_dummy.json")
    for row in rows_of(sample_data / "sharegpt/fastchat_dummy.json"):
        said = [turn["value"] for turn in row["conversations"]]
        for number in range(len(said) // 2):
            name = row["id"] if number == 0 else f"{row['id']}#{number + 1}"
            prompt = Prompt.objects.get(external_id=name)
            assert [m["content"] for m in prompt.messages] == said[: 2 * number + 1]
            assert prompt.responses.get().text == said[2 * number + 1]
            assert (prompt.parent is None) == (number == 0)


def test_trees_flat_and_nested_are_the_same_prompts(bring, sample_data) -> None:
    """Ranks are the human ones: as in the file that holds the ranked candidates alone."""
    bring("oasst/oasst1_en_messages.jsonl", skip_bad=True)
    assert made(bring("oasst/oasst1_en.trees.jsonl.gz")) == (0, 0, 0)
    assert made(bring("oasst/oasst1_en_messages.parquet", skip_bad=True)) == (0, 0, 0)
    for row in rows_of(sample_data / "ranking/oasst1_ranked.jsonl"):
        prompt = Prompt.objects.get(external_id=row["prompt_id"])
        assert [m["content"] for m in prompt.messages] == [t["text"] for t in row["turns"]]
        ranked = sorted(
            (c for c in row["candidates"] if c["rank"] is not None), key=lambda c: c["rank"]
        )
        ranking = Ranking.objects.get(submission__item__prompt=prompt)
        assert texts(ranking.order) == [[c["text"]] for c in ranked]
    below = Prompt.objects.exclude(parent=None)
    assert all(p.messages[-2]["content"] == p.parent.text for p in below.select_related("parent"))
    flat = rows_of(sample_data / "oasst/oasst1_en_messages.jsonl")
    people = {row["user_id"] for row in flat}
    said = json.dumps([*Prompt.objects.values_list("metadata", "messages")], default=str)
    assert not any(person in said for person in people)


def test_refused_messages_are_the_deleted_and_what_hangs_below(bring, sample_data) -> None:
    report = bring("oasst/oasst1_en_messages.jsonl", skip_bad=True)
    rows = rows_of(sample_data / "oasst/oasst1_en_messages.jsonl")
    gone = {row["message_id"] for row in rows if row["deleted"]}
    before = 0
    while len(gone) > before:
        before = len(gone)
        gone |= {row["message_id"] for row in rows if row["parent_id"] in gone}
    lines = {n for n, row in enumerate(rows, 1) if row["message_id"] in gone}
    assert {entry["line"] for entry in report["refused"]} == lines and len(lines) == 15


def test_judged_pairs_direction_row_by_row(bring, sample_data) -> None:
    for name in ("llmbar_manual", "llmbar_natural", "mt_bench_human200"):
        bring(f"pairs/{name}.json")
        wanted = set()
        for row in rows_of(sample_data / f"pairs/{name}.json"):
            sides = [row["output_1"].strip(), row["output_2"].strip()]
            better, worse = sides if row["label"] == 1 else sides[::-1]
            wanted.add((row["input"], better, worse))
        found = set()
        for ranking in Ranking.objects.select_related("submission__item__prompt"):
            [[better], [worse]] = texts(ranking.order)
            question = ranking.submission.item.prompt.question
            found.add((question, better.strip(), worse.strip()))
        assert wanted <= found


def test_pairs_of_sharegpt_direction_row_by_row(bring, sample_data) -> None:
    for name in ("dpo_en_demo", "dpo_zh_demo"):
        bring(f"sharegpt/{name}.json")
        for row in rows_of(sample_data / f"sharegpt/{name}.json"):
            chosen, rejected = row["chosen"]["value"], row["rejected"]["value"]
            [prompt] = {r.prompt for r in Response.objects.filter(text=chosen)}
            said = [t["value"] for t in row["conversations"]]
            assert [prompt.system, *[m["content"] for m in prompt.messages]][-len(said) :] == said
            ranking = Ranking.objects.get(submission__item__prompt=prompt)
            assert texts(ranking.order) == [[chosen], [rejected]]


def test_thumbs_stand_at_their_answers(bring, sample_data) -> None:
    bring("sharegpt/kto_en_demo.json")
    rows = rows_of(sample_data / "sharegpt/kto_en_demo.json")
    wanted = Counter((row["messages"][-1]["content"], row["label"]) for row in rows)
    found = Counter((a.text, a.metadata["label"]) for a in Response.objects.all())
    assert found == wanted and {label for _, label in found} == {True, False}


def test_calls_of_tools_stay_where_they_were(bring, sample_data) -> None:
    bring("sharegpt/glaive_toolcall_en_demo.json")
    rows = rows_of(sample_data / "sharegpt/glaive_toolcall_en_demo.json")
    row = next(row for row in rows if row["conversations"][1]["from"] == "function_call")
    told = row["conversations"][3]["value"]
    prompt = Response.objects.get(text=told).prompt
    [asked, called, result] = prompt.messages
    assert asked["content"] == row["conversations"][0]["value"]
    call = called["tool_calls"][0]["function"]
    assert call == json.loads(row["conversations"][1]["value"])
    assert result == {"role": "tool", "content": row["conversations"][2]["value"]}
    assert prompt.tools == json.loads(row["tools"])


def test_documents_keep_every_character(bring, sample_data) -> None:
    bring("text/pubmed_abstracts.txt")
    bring("text/wiki_lines.txt")
    abstracts = (sample_data / "text/pubmed_abstracts.txt").read_text().strip("\n").split("\n\n")
    articles = (sample_data / "text/wiki_lines.txt").read_text().strip("\n").split("\n")
    assert set(Response.objects.values_list("text", flat=True)) == {*abstracts, *articles}
    assert not Prompt.objects.exclude(messages=[]).exists()


def test_dolly_in_its_three_spellings_is_one_set_of_prompts(bring) -> None:
    assert made(bring("sft/dolly_fields.jsonl")) == (67, 67, 0)
    assert made(bring("sft/dolly_prompted.jsonl")) == (0, 0, 0)


def test_instruction_and_dolly_rows_keep_every_character(bring, sample_data) -> None:
    for name, second in (("gpteacher_roleplay.json", "input"), ("dolly_fields.jsonl", "context")):
        bring(f"sft/{name}")
        wanted = {
            (row["instruction"], row[second], row["response"])
            for row in rows_of(sample_data / "sft" / name)
        }
        found = {
            (answer.prompt.question, answer.prompt.context, answer.text)
            for answer in Response.objects.select_related("prompt")
        }
        assert wanted <= found


# dirty/ -----------------------------------------------------------------------------------------

# What a file comes to with bad rows skipped: (rows, imported, updated, unchanged, refused); or the
# sentence by which the whole file is refused.
OUTCOMES: dict[str, tuple[int, ...] | str] = {
    "array_truncated.json": "in the middle of row 10",
    "bad_crc.jsonl.gz": "checksum",
    "bad_json.jsonl": (58, 49, 0, 0, 9),
    "bomb_many_rows.jsonl.gz": "decompression bomb",
    "bomb_one_line.jsonl.gz": "decompression bomb",
    "columns.jsonl": (30, 24, 0, 0, 6),
    "control_chars.jsonl": (6, 6, 0, 0, 0),
    "cr_only.jsonl": (60, 60, 0, 0, 0),
    "crlf.jsonl": (60, 60, 0, 0, 0),
    "csv_bom_semicolon.csv": (25, 25, 0, 0, 0),
    "csv_cp1252.csv": (20, 20, 0, 0, 0),
    "csv_duplicate_header.csv": "names the column “response” twice",
    "csv_embedded_newlines.csv": (25, 25, 0, 0, 0),
    "csv_formula_injection.csv": (20, 20, 0, 0, 0),
    "csv_header_case_spaces.csv": (10, 10, 0, 0, 0),
    "csv_header_only.csv": "a header and no rows",
    "csv_no_header.csv": "No layout fits",
    "csv_ragged.csv": (20, 18, 0, 0, 2),
    "csv_unclosed_quote.csv": "row of line 12 a quote opens",
    "deep_nesting.jsonl": (8, 4, 0, 0, 4),
    "duplicates.jsonl": (44, 36, 4, 4, 0),
    "empty_array.json": "holds no rows",
    "empty_file.jsonl": "is empty",
    "empty_response.jsonl": (32, 32, 0, 0, 0),
    "enc_cp1252.jsonl": (20, 20, 0, 0, 0),
    "enc_double_mojibake.jsonl": (20, 20, 0, 0, 0),
    "enc_mixed.jsonl": (20, 20, 0, 0, 0),
    "enc_utf16le_bom.jsonl": (20, 20, 0, 0, 0),
    "enc_utf8_bom.jsonl": (20, 20, 0, 0, 0),
    "gzip_in_gzip.jsonl.gz": "compressed twice",
    "gzip_named_plain.jsonl": (60, 60, 0, 0, 0),
    "huge_prompt_2mb.jsonl.gz": (5, 5, 0, 0, 0),
    "huge_row.jsonl.gz": (10, 9, 0, 0, 1),
    "invalid_utf8_bytes.jsonl": (12, 9, 0, 0, 3),
    "line_separators_raw.jsonl": (6, 6, 0, 0, 0),
    "lone_surrogates.jsonl": (12, 3, 0, 0, 9),
    "multi_member.jsonl.gz": (120, 120, 0, 0, 0),
    "nul_escaped.jsonl": (12, 8, 0, 0, 4),
    "nul_raw.jsonl": (12, 9, 0, 0, 3),
    "oasst_deep_chain.jsonl.gz": (1500, 1000, 0, 0, 500),
    "oasst_dirty.jsonl": (23, 10, 0, 0, 13),
    "object_not_array.json": (3, 3, 0, 0, 0),
    "ok.jsonl.gz": (60, 60, 0, 0, 0),
    "ok.parquet": (60, 60, 0, 0, 0),
    "pairs_hh_dirty.jsonl": (30, 18, 3, 1, 8),
    "pii.jsonl": (10, 10, 0, 0, 0),
    "plain_named.jsonl.gz": (60, 60, 0, 0, 0),
    "ranking_dirty.jsonl": (17, 14, 1, 1, 1),
    "sharegpt_dirty.json": (15, 9, 0, 0, 6),
    "tab_separated.tsv": (25, 25, 0, 0, 0),
    "trailing_garbage.jsonl.gz": (60, 60, 0, 0, 0),
    "truncated.jsonl.gz": "ends too early",
    "truncated.parquet": "Parquet file is not whole",
    "two_files.zip": "a zip archive",
    "unicode_rtl_emoji.jsonl": (14, 14, 0, 0, 0),
    "wrong_types.parquet": (5, 1, 0, 0, 4),
    "xss.jsonl": (20, 20, 0, 0, 0),
    "zip_slip.zip": "a zip archive",
}


def nothing_left() -> bool:
    models = (Prompt, Response, Item, Submission, Ranking, Stage)
    return not any(model.objects.exists() for model in models)


def attempt(cast, path: Path, skip_bad: bool) -> tuple[Import | None, dict[str, Any], str]:
    """(the import, its report, the sentence by which it was refused)"""
    try:
        import_row = importing.create(project=cast.project, user=None, path=path, skip_bad=skip_bad)
        if not import_row.layout:
            return None, {}, importing.preview(import_row).error
        report = importing.run_now(import_row)
    except Refused as refusal:
        return None, {}, str(refusal)
    reason = import_row.reason if import_row.state == Import.State.FAILED else ""
    return import_row, report, reason


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", sorted(OUTCOMES))
def test_every_dirty_file(cast, sample_data, name: str) -> None:
    outcome = OUTCOMES[name]
    path = sample_data / "dirty" / name
    _, report, reason = attempt(cast, path, skip_bad=True)
    if isinstance(outcome, str):
        assert outcome in reason and len(reason) < 600
        assert nothing_left()
        if report:
            assert report["rows"] == len(report["refused"])
        return
    assert verdicts(report) == outcome, report["refused"]
    assert outcome[0] == sum(outcome[1:])
    assert all(entry["line"] and entry["reason"] for entry in report["refused"])
    assert Prompt.objects.live().count() == report["prompts"]
    assert verdicts(attempt(cast, path, skip_bad=True)[1])[1:3] == (0, 0)


@pytest.mark.parametrize(
    "name", sorted(name for name, result in OUTCOMES.items() if result[-1] != 0)
)
def test_without_skipping_a_bad_file_leaves_nothing(cast, sample_data, name: str) -> None:
    _, report, reason = attempt(cast, sample_data / "dirty" / name, skip_bad=False)
    assert reason and nothing_left()
    if report:
        assert made(report) == (0, 0, 0)


def test_no_dirty_file_is_forgotten(sample_data) -> None:
    assert {path.name for path in (sample_data / "dirty").iterdir()} == set(OUTCOMES)


def test_texts_come_through_as_they_were(cast, sample_data) -> None:
    for name in ("unicode_rtl_emoji", "xss", "line_separators_raw", "control_chars"):
        path = sample_data / "dirty" / f"{name}.jsonl"
        attempt(cast, path, skip_bad=False)
        for row in rows_of(path):
            prompt = Prompt.objects.get(external_id=row["id"])
            assert prompt.question == row["instruction"] and prompt.context == row["context"]
            assert prompt.responses.filter(text=row["response"]).count() == 1


@pytest.mark.parametrize("name", ["bomb_one_line.jsonl.gz", "bomb_many_rows.jsonl.gz"])
def test_a_bomb_costs_little_memory(sample_data, name: str) -> None:
    """Measured in a process of its own: growth over what it holds after opening a small file."""
    script = """
import resource, sys
import django
django.setup()
from annotation.readers import ReadError, open_source
def read(path):
    try:
        with open(path, "rb") as file:
            for _ in open_source(file).rows():
                pass
    except ReadError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = read(sys.argv[1])
print(read(sys.argv[2]) - before)
"""
    small, bomb = sample_data / "dirty/ok.jsonl.gz", sample_data / "dirty" / name
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    grown = subprocess.run(
        [sys.executable, "-c", script, str(small), str(bomb)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
        cwd=Path(__file__).resolve().parents[2],
    )
    assert int(grown.stdout) < 48
