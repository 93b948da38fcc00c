"""Charts: well-formed SVG with axes, titles and a sentence, whatever the numbers."""

import math
import xml.etree.ElementTree as ET

import pytest

from training.charts import (
    HEIGHT,
    WIDTH,
    Line,
    chart,
    histogram,
    number,
    reliability,
    thin,
    tick_labels,
    ticks,
)

SVG = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@pytest.mark.parametrize(
    "points",
    [
        [(1, 2.0)],
        [(0, 0.0), (1, 0.0)],
        [(1, -5.0), (2, 5.0), (3, 0.1)],
        [(n, math.sin(n)) for n in range(5000)],
        [(1, 1e-9), (2, 1e9)],
        [(1, 1e-300), (2, -1e299)],
    ],
)
def test_every_point_lies_in_the_picture(points) -> None:
    root = parse(chart("Loss", [Line("training", points)]))
    polyline = root.find(f"{SVG}polyline")
    for pair in polyline.attrib["points"].split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= WIDTH and 0 <= y <= HEIGHT
    assert len(polyline.attrib["points"].split()) <= 240
    assert root.attrib["role"] == "img"


def test_it_says_last_lowest_and_highest() -> None:
    root = parse(chart("Loss", [Line("training", [(1, 4.0), (2, 1.0), (3, 2.5)])]))
    assert root.attrib["aria-label"] == "Loss. training: last 2.5 at step 3, lowest 1, highest 4"
    titles = [node.text for node in root.iter(f"{SVG}title")]
    assert titles == ["training 4 at step 1", "training 1 at step 2", "training 2.5 at step 3"]


def test_two_lines_and_a_level() -> None:
    lines = [Line("a", [(1, 1.0)]), Line("b", [(1, 2.0)], "l2"), Line("none", [])]
    root = parse(chart("Accuracy", lines, ("longer wins", 0.66)))
    assert [node.attrib["class"] for node in root.iter(f"{SVG}polyline")] == ["l1", "l2"]
    assert "longer wins: 0.66" in [node.text for node in root.iter(f"{SVG}text")]


def test_names_are_escaped() -> None:
    svg = chart("<script>", [Line("<b>", [(1, 1.0)])])
    assert "<script>" not in svg and "<b>" not in svg
    parse(svg)


def test_nothing_to_draw() -> None:
    assert chart("Loss", []) == "" and chart("Loss", [Line("a", [])]) == ""
    assert histogram("Lengths", [], []) == "" and histogram("Lengths", [0, 1], [0]) == ""


def test_a_spike_survives_thinning() -> None:
    points = [(n, 0.0) for n in range(10_000)]
    points[7777] = (7777, 9.0)
    kept = thin(points)
    assert (7777, 9.0) in kept and len(kept) <= 240
    assert kept[0] == points[0] and kept[-1] == points[-1]
    assert kept == sorted(kept)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (1.23456, "1.23"), (0.00012, "1.2e-4"), (1234.5, "1,234"), (2e-5, "2.0e-5"),
     (-3.14159, "-3.14"), (123456.0, "1.2e5")],
)  # fmt: skip
def test_numbers_as_people_read_them(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 3), (0.001, 0.0013), (5, 5), (0, 1e9)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    found = ticks(low, high)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-9 <= tick <= high * (1 + 1e-9) for tick in found)


def test_the_labels_of_an_axis_have_room() -> None:
    """An entropy that falls from 10.82975 to 10.82968 is level."""
    root = parse(chart("Entropy", [Line("entropy", [(1, 10.82975), (2, 10.82968)])]))
    labels = [text.text for text in root.iter(f"{SVG}text") if text.get("text-anchor") == "end"]
    assert labels and max(len(label or "") for label in labels) <= 7


def test_a_histogram() -> None:
    root = parse(histogram("Lengths", [0, 10, 20], [4, 2]))
    assert [node.text for node in root.iter(f"{SVG}title")] == ["0 to 10: 4", "10 to 20: 2"]


def test_reliability_lies_on_its_diagonal_where_the_two_agree() -> None:
    """The dashed line runs from (0.5, 0.5) to (1, 1); a dot's area is its share of the pairs."""
    rows = [{"sure": 0.5, "right": 0.5, "pairs": 1}, {"sure": 1.0, "right": 1.0, "pairs": 3}]
    root = parse(reliability("Sure", rows))
    mark = next(node for node in root.iter(f"{SVG}line") if "mark" in node.get("class", ""))
    dots = list(root.iter(f"{SVG}circle"))
    for dot, end in zip(dots, "12", strict=True):
        for axis in "xy":
            assert float(dot.get(f"c{axis}")) == float(mark.get(f"{axis}{end}"))
    assert [float(dot.get("r")) for dot in dots] == pytest.approx([7.5, 10.8])
    assert dots[1].find(f"{SVG}title").text == "100 % sure, 100 % right, 3 pairs"
    assert "50% sure, 50% right" in root.get("aria-label")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0, 0.5, 1], ["0", "0.5", "1"]),
        ([5.975, 5.98, 5.985], ["5.975", "5.980", "5.985"]),
        ([0.9999, 1.0, 1.0001], ["0.9999", "1.0000", "1.0001"]),
        ([12_340, 12_345], ["12340", "12345"]),
        ([3.0], ["3"]),
    ],
)
def test_neighbours_on_an_axis_are_told_apart(values: list[float], shown: list[str]) -> None:
    assert tick_labels(values) == shown
