"""annotation <- exports <- training, `config` above all; the wall inside training; no circles."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
APPS = ("annotation", "exports", "training")
FLOOR = {"annotation": 0, "exports": 1, "training": 2, "config": 3}
HEAVY = {"torch", "transformers", "trl", "peft", "bitsandbytes", "accelerate"}
WEB = {"django", "celery", "rest_framework"}
PURE_EXPORTS = {"exports.formats", "exports.chat", "exports"}


def modules() -> dict[str, Path]:
    found = {}
    for app in APPS:
        for path in (ROOT / app).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(path: Path, module: str) -> set[str]:
    """Full dotted names that the file imports, wherever in it the import stands."""
    names = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parts, base]).rstrip(".")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                names.add(full if full in MODULES else base)
    return names


IMPORTS = {module: imports(path, module) for module, path in MODULES.items()}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_downward(module: str) -> None:
    app = module.split(".")[0]
    for name in IMPORTS[module]:
        top = name.split(".")[0]
        assert FLOOR.get(top, -1) <= FLOOR[app], f"{module} imports {name}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_the_wall_inside_training(module: str) -> None:
    tops = {name.split(".")[0] for name in IMPORTS[module]}
    if module.startswith("training.recipes"):
        assert not tops & WEB, f"{module} imports {tops & WEB}"
        ours = {name for name in IMPORTS[module] if name.split(".")[0] in APPS}
        foreign = {n for n in ours if not n.startswith("training.recipes") and n != "training"}
        assert foreign <= PURE_EXPORTS, f"{module} imports {foreign - PURE_EXPORTS}"
    else:
        assert not tops & HEAVY, f"{module} imports {tops & HEAVY}"


@pytest.mark.parametrize("module", ["exports.formats", "exports.chat"])
def test_pure_files_import_no_django(module: str) -> None:
    if module in MODULES:
        assert not {n.split(".")[0] for n in IMPORTS[module]} & (WEB | HEAVY | {"annotation"})


def test_no_circle_of_files() -> None:
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in done:
            return
        for name in IMPORTS[module] & MODULES.keys() - {module}:
            # A package's __init__ that gathers its own files is no circle.
            if not module.startswith(name + "."):
                visit(name, (*trail, module))
        done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("app", APPS)
def test_strings_and_migrations_point_downward(app: str) -> None:
    above = [name for name in APPS if FLOOR[name] > FLOOR[app]]
    for path in (ROOT / app).rglob("*.py"):
        text = path.read_text("utf-8")
        for name in above:
            assert not re.search(rf"""["']{name}\.[A-Za-z]\w*["']""", text), f"{path} names {name}"
            assert not re.search(rf"""\(\s*["']{name}["'],""", text), f"{path} depends on {name}"


@pytest.mark.parametrize("app", APPS)
def test_templates_point_downward(app: str) -> None:
    above = [name for name in APPS if FLOOR[name] > FLOOR[app]]
    for path in (ROOT / "templates" / app).rglob("*.html"):
        for name in above:
            assert f'"{name}:' not in path.read_text("utf-8"), f"{path} links to {name}"
    for path in (ROOT / app).rglob("*.py"):
        for name in above:
            text = path.read_text("utf-8")
            assert f'"{name}:' not in text, f"{path} names a URL of {name}"
