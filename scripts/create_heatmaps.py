#!/usr/bin/env python3
"""The command line of KatherLab's create_heatmaps.py, with heatmaps-ome behind it.

The same as ``heatmaps-ome create``, but for four habits of the original: ``--force-cpu`` may be
followed by True or False, weights called ``xiyue-wang.pth`` (or ``best_ckpt.pth``) are found in the
current folder, the last ``--model-path`` counts (it may be followed by several models), and the
results of an earlier run are replaced.
"""

from __future__ import annotations

import sys
from pathlib import Path

WEIGHTS = (Path("xiyue-wang.pth"), Path("best_ckpt.pth"))


MODEL_FLAGS = ("-m", "--model-path")
MODEL_ENDINGS = (".pkl", ".pickle", ".pth", ".pt", ".safetensors")


def _with_last_models(words: list[str]) -> list[str]:
    """Return a command line without the models that a later ``--model-path`` replaces.

    The container's command names a model that may be mounted, and the user can name another.
    """
    out: list[str] = []
    starts = [place for place, word in enumerate(words) if word.partition("=")[0] in MODEL_FLAGS]
    left_out = False
    for place, word in enumerate(words):
        is_value = place > 0 and words[place - 1] in MODEL_FLAGS
        if place in starts:
            left_out = place != starts[-1]
        elif not (is_value or word.lower().endswith(MODEL_ENDINGS)):
            left_out = False
        if not left_out:
            out.append(word)
    return out


def translated(words: list[str]) -> list[str]:
    """Return the original's command line as ``heatmaps-ome create`` takes it."""
    out: list[str] = []
    for word in _with_last_models(words):
        if out and out[-1] == "--force-cpu" and word.lower() in ("true", "false"):
            if word.lower() == "false":
                out.pop()
        else:
            out.append(word)
    given = {word.partition("=")[0] for word in words}
    if not given & {"--extractor", "--extractor-weights"}:
        out += [f"--extractor-weights={path}" for path in WEIGHTS if path.exists()][:1]
    return [*out, "--overwrite"] if "--overwrite" not in given else out


def main() -> int:
    """Run the command."""
    try:
        from heatmaps_ome.cli import main as cli
    except ModuleNotFoundError as error:
        sys.stderr.write(
            f"create_heatmaps.py: {error.name} is not installed for this Python; run "
            "scripts/install, then .venv/bin/python scripts/create_heatmaps.py\n"
        )
        return 1
    cli.use_utf8()
    return cli.guarded(lambda: cli.create(translated(sys.argv[1:]), "create_heatmaps.py"))


if __name__ == "__main__":
    sys.exit(main())
