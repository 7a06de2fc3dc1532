"""The shape of the package: layers, sizes, and what is imported where."""

import ast
import tomllib
from pathlib import Path

import pytest

import heatmaps_ome

PACKAGE = Path(heatmaps_ome.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path: Path, only_run_time: bool = True):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    hidden = {
        id(node)
        for each in ast.walk(tree)
        if isinstance(each, ast.If) and "TYPE_CHECKING" in ast.unparse(each.test)
        for node in ast.walk(each)
    }
    for node in ast.walk(tree):
        if only_run_time and id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            for alias in node.names:
                is_module = (
                    PACKAGE.parent / module.replace(".", "/") / f"{alias.name}.py"
                ).exists()
                yield f"{module}.{alias.name}" if is_module else module


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_modules_are_small_and_say_their_job_first(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(ast.parse(text)), f"{path} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            length = (body[-1].end_lineno - body[0].lineno + 1) if body else 0
            assert length <= 40, f"{path.name}:{node.name} has {length} lines"


def test_modules_do_not_import_one_another_in_a_circle():
    edges = {
        dotted(path): {name for name in imports_of(path) if name.startswith("heatmaps_ome.")}
        for path in MODULES
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"a circle: {' → '.join((*trail, name))}"
        if name not in done:
            for other in sorted(edges.get(name, set()) - {name}):
                visit(other, (*trail, name))
            done.add(name)

    for name in sorted(edges):
        visit(name, ())


def test_only_the_fastai_module_imports_fastai():
    for path in MODULES:
        if path.name != "fastai_export.py":
            assert not any(name.startswith("fastai") for name in imports_of(path))


def test_nothing_is_called_utils():
    assert not {"utils", "helpers", "common", "misc"} & {path.stem for path in MODULES}


def test_every_package_and_viewer_file_is_installed():
    root = PACKAGE.parent
    said = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "setuptools"
    ]
    found = {dotted(path) for path in PACKAGE.rglob("__init__.py")}
    assert set(said["packages"]) == found | {"heatmaps_ome.viewer_configs"}
    [folder] = said["package-dir"].values()
    installed = {
        path
        for pattern in said["package-data"]["heatmaps_ome.viewer_configs"]
        for path in (root / folder).glob(pattern)
    }
    scripts = ("show_heatmap", "import_tiles", "import_regions", "prelude")
    for name in (*(f"qupath/{each}.groovy" for each in scripts), "napari/open.py"):
        assert root / folder / name in installed
    assert set((root / folder / "page" / "dist").iterdir()) <= installed
