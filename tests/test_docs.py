"""What the documents promise is what the code has."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import get_commands

from training.recipes.configs import RECIPES

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
SETTINGS = (ROOT / "config" / "settings.py").read_text("utf-8")
VARIABLES = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"', SETTINGS))
OURS = sorted(
    name for name, app in get_commands().items() if app in ("annotation", "exports", "training")
)


def test_every_setting_is_documented_and_no_other() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)` \|", REFERENCE, re.MULTILINE))
    assert documented == VARIABLES


@pytest.mark.parametrize("command", OURS)
def test_every_command_is_documented(command: str) -> None:
    assert f"manage.py {command}" in REFERENCE


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_every_recipe_and_each_of_its_knobs_is_documented(recipe: str) -> None:
    assert f"| `{recipe}` |" in REFERENCE
    table = (ROOT / "docs" / "training.md").read_text("utf-8").partition(f"### `{recipe}`")[2]
    table = table.partition("###")[0]
    for knob in fields(RECIPES[recipe].config):
        assert f"| `{knob.name}` | `{knob.default}` |" in table
        assert knob.metadata["help"] in table


def test_readme_names_the_two_commands_and_shows_pictures_that_exist() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "make run" in readme and "make test" in readme
    pictures = re.findall(r"\]\((docs/[^)]+\.png)\)", readme)
    assert len(pictures) >= 4
    for picture in pictures:
        assert (ROOT / picture).exists(), picture


def test_links_between_documents_lead_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"
