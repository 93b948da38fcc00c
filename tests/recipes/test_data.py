"""Snapshots to tables: what is read, what is left out, what is refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exports import formats
from tests.recipes.conftest import (
    SENTENCES,
    chat_tokenizer,
    sft_rows,
    user,
    write_snapshot,
)
from training.recipes import data
from training.recipes.tokenizer import set_pad


def encoder_of(max_length: int = 64) -> data.Encoder:
    tokenizer = chat_tokenizer()
    set_pad(tokenizer)
    return data.Encoder(tokenizer, max_length)


class TestTables:
    def test_rows_come_back_in_their_order(self, tmp_path) -> None:
        rows = sft_rows(1200)
        folder = write_snapshot(tmp_path / "s", "sft", train=rows)
        assert list(data.rows_of(folder, "train")) == rows
        assert data.count_of(folder, "train") == 1200
        assert list(data.rows_of(folder, "test")) == []
        table = data.encode(rows, encoder_of(), "sft")
        assert len(table) == table.read == 1200
        assert (
            table.rows["input_ids"][1100].as_py()
            == encoder_of().example([*rows[1100]["prompt"], *rows[1100]["completion"]]).input_ids
        )

    def test_rows_with_nothing_to_train_are_left_out_and_named(self) -> None:
        rows = sft_rows(4)
        rows[2]["prompt"] = user(SENTENCES[0] * 4)
        table = data.encode(rows, encoder_of(max_length=40), "sft")
        assert (len(table), table.empty) == (3, [3])
        assert "1 of 4 rows was left out" in table.note(40) and "(row 3)" in table.note(40)

    def test_equal_answers_teach_nothing(self) -> None:
        pair = formats.preference(user("Well?"), "Yes.", "Yes.")
        assert data.encode([pair], encoder_of(), "preference").empty == [1]

    def test_no_row_left_is_refused(self, tmp_path) -> None:
        rows = [formats.sft(user(SENTENCES[0] * 9), "Yes.")]
        folder = write_snapshot(tmp_path / "s", "sft", train=rows)
        with pytest.raises(ValueError, match="None of the 1 training rows"):
            data.training_table(folder, encoder_of(), "sft", lambda: None)
        empty = write_snapshot(tmp_path / "e", "sft", test=rows)
        with pytest.raises(ValueError, match="no training rows"):
            data.training_table(empty, encoder_of(), "sft", lambda: None)

    def test_margins_come_along(self) -> None:
        rows = [formats.preference(user("Well?"), "Yes.", "No.", margin=0.5)]
        table = data.encode(rows, encoder_of(), "preference")
        assert table.rows["margin"].to_pylist() == [0.5]

    def test_an_answer_that_is_nothing_is_told_from_one_that_is_too_long(self, tmp_path) -> None:
        rows = [formats.preference(user("Well?"), "Yes.", "Yes.")]
        folder = write_snapshot(tmp_path / "s", "preference", train=rows)
        with pytest.raises(ValueError, match="empty or alike"):
            data.training_table(folder, encoder_of(), "preference", lambda: None)


class TestKinds:
    """The columns that each trainer is given."""

    def test_conversations_train_each_answer(self) -> None:
        talk = [*user("One?"), *formats.answer("First."), *user("Two?"), *formats.answer("Last.")]
        table = data.encode([{"messages": talk}], encoder_of(200), "sft")
        labels = [i for i in table.rows["labels"][0].as_py() if i != data.IGNORED]
        text = encoder_of().tokenizer.decode(labels)
        assert text == "First.<|im_end|>Last.<|im_end|>"
        assert data.question({"messages": talk}) == talk[:3]

    def test_a_long_document_becomes_several_rows(self) -> None:
        rows = [formats.document(SENTENCES[0] * 2), formats.document(""), formats.document("Hi")]
        table = data.encode(rows, encoder_of(16), "text")
        assert (table.read, table.cut, table.empty) == (3, 1, [2])
        assert len(table) > 3
        assert table.rows["input_ids"] == table.rows["labels"]
        assert "1 of 3 rows was split into pieces of 16 tokens" in table.note(16)

    def test_thumbs(self) -> None:
        rows = [formats.unpaired(user("Well?"), f"Answer {i}.", i % 2 == 0) for i in range(4)]
        table = data.encode(rows, encoder_of(), "unpaired")
        assert table.rows.column_names == ["prompt_ids", "completion_ids", "label"]
        assert table.rows["label"].to_pylist() == [True, False, True, False]
        asked = encoder_of().prompt(user("Well?"))
        assert table.rows["prompt_ids"].to_pylist() == [asked] * 4

    def test_pairs_with_the_prompt_apart(self) -> None:
        rows = [formats.preference(user("Well?"), "Yes.", "No.", margin=0.5)]
        table = data.encode(rows, encoder_of(), "answers")
        assert table.rows.column_names == ["prompt_ids", "chosen_ids", "rejected_ids"]
        (row,) = table.rows.to_pylist()
        (pair,) = data.encode(rows, encoder_of(), "preference").rows.to_pylist()
        assert row["prompt_ids"] + row["chosen_ids"] == pair["chosen_ids"]

    def test_labels_are_numbered_by_the_sorted_names_of_the_training_rows(self, tmp_path) -> None:
        train = [formats.labels(f"text {i}", name) for i, name in enumerate("cab")]
        other = [formats.labels("text", "b"), formats.labels("text", "never seen")]
        folder = write_snapshot(tmp_path / "s", "labels", train=train, test=other)
        table = data.training_table(folder, encoder_of(), "labels", lambda: None)
        assert table.names == ("a", "b", "c")
        assert table.rows["label"].to_pylist() == [2, 0, 1]
        held_out = data.encode(other, encoder_of(), "labels", names=table.names)
        assert held_out.rows["label"].to_pylist() == [1]
        assert held_out.empty == [2]


class TestSnapshots:
    def test_the_wrong_kind_is_refused_by_its_columns(self, sft_snapshot) -> None:
        data.check_snapshot(sft_snapshot, "sft")
        data.check_snapshot(sft_snapshot, "prompts")
        with pytest.raises(ValueError, match="no preference snapshot.*chosen, rejected is missing"):
            data.check_snapshot(sft_snapshot, "preference")

    @pytest.mark.parametrize(
        ("kind", "row"),
        [
            ("text", formats.document("A text.")),
            ("labels", formats.labels("A text.", "good")),
            ("unpaired", formats.unpaired(user("Well?"), "Yes.", True)),
        ],
    )
    def test_each_kind_is_known_by_its_columns(self, tmp_path, kind: str, row) -> None:
        folder = write_snapshot(tmp_path / "s", kind, train=[row])
        data.check_snapshot(folder, kind)
        with pytest.raises(ValueError, match="no preference snapshot"):
            data.check_snapshot(folder, "preference")

    def test_whole_conversations_are_an_sft_snapshot(self, tmp_path) -> None:
        (tmp_path / "data").mkdir()
        turns = [*user("Well?"), *formats.answer("Yes.")]
        table = pa.Table.from_pylist([{"messages": turns}])
        pq.write_table(table, tmp_path / "data" / "train-00000-of-00001.parquet")
        data.check_snapshot(tmp_path, "sft")
        assert data.training_table(tmp_path, encoder_of(), "sft", lambda: None).read == 1

    def test_no_snapshot_at_all(self, tmp_path) -> None:
        with pytest.raises(ValueError, match="no folder `data`"):
            data.check_snapshot(tmp_path, "sft")
        (tmp_path / "data").mkdir()
        with pytest.raises(ValueError, match="holds no rows"):
            data.check_snapshot(tmp_path, "sft")
        (tmp_path / "data" / "train-0.parquet").write_text("not parquet")
        with pytest.raises(ValueError, match="not a readable Parquet file"):
            data.check_snapshot(tmp_path, "sft")

    def test_measured_is_on_test_then_on_validation(self, tmp_path) -> None:
        rows = sft_rows(2)
        for name, splits, expected in [
            ("a", {"train": rows, "validation": rows, "test": rows}, "test"),
            ("b", {"train": rows, "validation": rows}, "validation"),
            ("c", {"train": rows}, ""),
        ]:
            folder = write_snapshot(tmp_path / name, "sft", **splits)
            assert data.evaluation_split(folder) == expected


def test_prompts_that_cannot_be_read_are_named_by_their_line(tmp_path) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"key": 1, "messages": [{"role": "user", "content": "?"}]}\n\n{"key": 2}\n')
    with pytest.raises(ValueError, match="line 3"):
        data.read_prompts(file)
