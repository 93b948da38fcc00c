"""A card's pictures, as PNG beside it: light ground, readable in a dark page too. Pure of Django.

matplotlib is imported where it draws only, with no window. The same figures give the same picture:
size, fonts and metadata are said here."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = "plots"
WIDTH, HEIGHT, DPI = 720, 320, 100
INK, FILL, SOFT, GROUND = "#1d2430", "#2f6fdb", "#8a94a6", "#ffffff"
BARS = 12  # at most, of labels and reasons


@dataclass(frozen=True)
class Plot:
    file: str
    title: str
    width: int = WIDTH
    height: int = HEIGHT


TITLES = {
    "splits": "Rows per split",
    "lengths": "Answers by length, in characters",
    "labels": "Rows by label",
    "dropped": "Left out, by reason",
}


def there(directory: Path) -> list[Plot]:
    """The plots that lie beside a card, in their order."""
    folder = directory / FOLDER
    return [
        Plot(f"{name}.png", title)
        for name, title in TITLES.items()
        if (folder / f"{name}.png").is_file()
    ]


def bars(facts: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """{plot: {bar: rows}} of what snapshot.json holds; a plot without a bar is not there."""
    lengths = facts["stats"].get("lengths") or {"edges": [], "counts": []}
    steps = [f"{edge:,}" for edge in lengths["edges"]]
    filled = [place for place, count in enumerate(lengths["counts"]) if count]
    upto = filled[-1] + 1 if filled else 0
    found = {
        "splits": dict(facts["counts"]),
        "lengths": dict(zip(steps[:upto], lengths["counts"][:upto], strict=True)),
        "labels": _most(facts["stats"].get("labels") or {}),
        "dropped": _most(facts["dropped"]),
    }
    return {name: each for name, each in found.items() if each}


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    """The largest, the others together."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) <= BARS:
        return dict(ordered)
    rest = sum(count for _, count in ordered[BARS - 1 :])
    return {**dict(ordered[: BARS - 1]), "all others": rest}


def write(directory: Path, facts: Mapping[str, Any]) -> list[Plot]:
    """Draw `plots/*.png`; returns what was drawn."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    folder = directory / FOLDER
    folder.mkdir(exist_ok=True)
    for name, values in bars(facts).items():
        figure = Figure(figsize=(WIDTH / DPI, HEIGHT / DPI), dpi=DPI, facecolor=GROUND)
        axes = figure.add_axes(
            (0.08, 0.16, 0.89, 0.7) if name == "lengths" else (0.42, 0.1, 0.5, 0.76)
        )
        _draw(axes, name, values)
        axes.set_title(TITLES[name], loc="left", color=INK, fontsize=11)
        axes.tick_params(colors=INK, labelsize=8, length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        figure.savefig(folder / f"{name}.png", metadata={"Software": None}, facecolor=GROUND)
    return there(directory)


def _draw(axes: Any, name: str, values: Mapping[str, int]) -> None:
    """Lengths stand up, names lie: they are long."""
    # A dollar sign is text here and not mathematics.
    labels = [_short(label).replace("$", r"\$") for label in values]
    places = range(len(labels))
    if name == "lengths":
        axes.bar(places, list(values.values()), color=FILL, width=0.85)
        axes.set_xticks(places, labels)
        axes.yaxis.get_major_locator().set_params(integer=True, nbins=4)
        axes.grid(axis="y", color=SOFT, alpha=0.3)
        axes.set_axisbelow(True)
        return
    drawn = axes.barh(places, list(values.values()), color=FILL, height=0.7)
    axes.bar_label(drawn, [f"{count:,}" for count in values.values()], padding=4, color=INK, size=8)
    axes.set_yticks(places, labels)
    axes.set_xticks([])
    axes.invert_yaxis()


def _short(label: str) -> str:
    return label if len(label) <= 48 else label[:47] + "…"
