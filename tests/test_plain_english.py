"""Names, docstrings and comments are plain English: nothing of the list of words to avoid."""

import ast
import io
import re
import tokenize
from pathlib import Path

import pytest

import heatmaps_ome

PACKAGE = Path(heatmaps_ome.__file__).parent
SOURCES = [
    *sorted(PACKAGE.rglob("*.py")),
    *sorted((PACKAGE.parent / "scripts").rglob("*.py")),
    *sorted((PACKAGE.parent / "viewer_configs").glob("*/*.py")),
]

NAMES = {"each", "found", "shown", "said", "kept", "most", "told"}
"""Participles and the like, which do not name a thing: no variable or argument is called so."""
PHRASES = [
    r"(?:^|[.:;] )Of (?:a|an|the|what|which|those|these|several|one|two|each|all|few|many)\b",
    r"\b[Ll]ets? go\b",
    r"\bby the piece\b",
    r"\bwhat (?:comes|came) of\b",
    r"\b(?:said|told|tells|says)\b",
    r"\bby and by\b",
]
"""What no docstring and no comment has: sentences that begin with "Of", and sayings for records."""


def dotted(path: Path) -> str:
    return path.relative_to(PACKAGE.parent).with_suffix("").as_posix()


def bound_names(tree: ast.AST):
    """Yield the (line, name) of variables and arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg


def prose(text: str):
    """Yield the (line, text) of docstrings, other bare strings and comments."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            value = node.value.value
            if isinstance(value, str):
                yield node.lineno, " ".join(value.split())
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("# ")


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_variables_are_named_after_things(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [f"line {line}: {name}" for line, name in bound_names(tree) if name in NAMES] == []


@pytest.mark.parametrize("path", SOURCES, ids=dotted)
def test_docstrings_and_comments_are_plain(path):
    faults = [
        f"line {line}: {match.group(0)!r} in {sentence[:80]!r}"
        for line, sentence in prose(path.read_text(encoding="utf-8"))
        for phrase in PHRASES
        for match in re.finditer(phrase, sentence)
    ]
    assert faults == []
