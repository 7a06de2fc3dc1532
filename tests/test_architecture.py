"""The shape of the package: layers, sizes, and what is imported where."""

import ast
import tomllib
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

import heatmaps_ome
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.slides import opening

PACKAGE = Path(heatmaps_ome.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

FLOORS = [
    {"cli"},
    {"demo"},
    {"run"},
    {"options"},
    {"viewers"},
    {"exporters"},
    {"display"},
    {"maps"},
    {"features"},
    {"extractors", "models"},
    {"slides"},
    {"ome"},
    {"storage"},
    {"geometry", "errors", "memory", "heatmaps_ome"},
]
"""The folders from the top down: a module imports from its own folder and from floors below it."""
APART = {"validate": {"slides", "geometry", "errors", "heatmaps_ome"}}
"""Folders outside the floors, and all that they import: nothing that writes results."""


def dotted(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@cache
def imports_of(path: Path) -> tuple[str, ...]:
    """Return the modules that a module imports, those for type checkers only too."""
    return tuple(_imports_of(path))


def _imports_of(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                place = PACKAGE.parent / node.module.replace(".", "/") / alias.name
                is_module = place.with_suffix(".py").exists() or place.is_dir()
                yield f"{node.module}.{alias.name}" if is_module else node.module


def folder(name: str) -> str:
    """Return the folder or module directly below heatmaps_ome that a dotted name is in."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def floor(name: str) -> int:
    """Return how far down a folder is."""
    [found] = [place for place, names in enumerate(FLOORS) if name in names]
    return found


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_down_only(path):
    own = folder(dotted(path))
    others = {folder(name) for name in imports_of(path) if name.startswith("heatmaps_ome")} - {own}
    if own in APART:
        assert others <= APART[own]
    elif own != "heatmaps_ome":  # it offers the Python API, whatever floor that is on
        for other in others:
            below = own == "cli" if other in APART else floor(other) > floor(own)
            assert below, f"{dotted(path)} imports from {other}"


def test_a_newcomer_sees_at_most_twenty_names():
    assert {name for names in FLOORS for name in names} | APART.keys() >= {
        folder(dotted(path)) for path in MODULES
    }
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__"}
    assert len(entries) <= 20


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


def test_only_open_slide_constructs_readers():
    rows = [row.split(":") for row in opening.REGISTRY.values()]
    own = {
        "OpenedSlide": ["heatmaps_ome.slides.opened_slide", "heatmaps_ome.slides.opening"],
        **{kind: [module] for module, kind in rows},
    }
    # It leaves to OpenSlide what it cannot read exactly.
    own["OpenSlideFile"].append("heatmaps_ome.slides.readers.fast_tiff")
    called = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "attr", None) or getattr(node.func, "id", "")
                assert name not in own or dotted(path) in own[name], f"{path} constructs {name}"
                called.add((dotted(path), name))
        if dotted(path) not in {module for module, _ in rows}:
            assert not {module for module, _ in rows} & set(imports_of(path)), path
    assert ("heatmaps_ome.slides.opening", "OpenedSlide") in called


READS_OPTIONS = (
    "heatmaps_ome.run.settings", "heatmaps_ome.run.file_settings",
    "heatmaps_ome.run.cluster.request",
)  # fmt: skip
"""Read what ``create`` is asked for, on behalf of all stages."""
PASSES_OPTIONS = (
    "heatmaps_ome.run.pipeline", "heatmaps_ome.run.provenance", "heatmaps_ome.run.forecast.dry_run",
    "heatmaps_ome.cli.creating", "heatmaps_ome.cli.dry_run",
)  # fmt: skip
"""Take options too: to hand them on, to record each field alike, to log and to close the run."""
CLOSING = {"verbose", "output_path", "true_class", "dry_run"}
"""Options that the command line may read."""


def takers_of_create_options(path):
    """Yield (function, parameter) of every parameter annotated as CreateOptions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            args = node.args
            for each in (*args.posonlyargs, *args.args, *args.kwonlyargs):
                if each.annotation is not None and "CreateOptions" in ast.unparse(each.annotation):
                    yield node, each.arg


def attributes_read(function, name):
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    }


def test_only_the_settings_read_the_options_of_create():
    takers = {}
    for path in MODULES:
        if ".options" not in dotted(path):
            found = list(takers_of_create_options(path))
            if found:
                takers[dotted(path)] = found
    assert set(takers) == {*READS_OPTIONS, *PASSES_OPTIONS}
    for module in PASSES_OPTIONS:
        read = {name for function, arg in takers[module] for name in attributes_read(function, arg)}
        assert read <= (CLOSING if module.startswith("heatmaps_ome.cli.") else set()), module
    [(function, arg)] = [
        (function, arg)
        for module in READS_OPTIONS
        for function, arg in takers[module]
        if function.name == "settings_of"
    ]
    assert "mask_threshold" in attributes_read(function, arg)


def test_every_option_of_create_is_used():
    read = {
        name
        for module in (*READS_OPTIONS, "heatmaps_ome.cli.creating")
        for path in MODULES
        if dotted(path) == module
        for function, arg in takers_of_create_options(path)
        for name in attributes_read(function, arg)
    }
    # Properties that make one thing of both ways to give models, and of the sizes of tiles.
    stands_for = {
        "model_paths": {"model_path"},
        "asked_tiles": {"tile_um", "tile_px", "target_mpp", "overlap", "stride_um", "refine"},
    }
    used = set().union(*(stands_for.get(name, {name}) for name in read))
    # A profile is in effect by the defaults of other options.
    assert used | {"profile"} == {each.name for each in fields(CreateOptions)}


def test_options_are_known_to_runs_and_commands_alone():
    for path in MODULES:
        folder = dotted(path).split(".")[1:2]
        if folder not in (["options"], ["run"], ["demo"], ["cli"]):
            assert not any(name.startswith("heatmaps_ome.options") for name in imports_of(path)), (
                path
            )


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
