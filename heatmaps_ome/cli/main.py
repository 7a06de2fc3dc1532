"""The command ``heatmaps-ome``: parse, run, summarise.

Exit codes: 0 everything succeeded, 1 something failed (the rest is done), 2 usage. Results go to
stdout, everything else to stderr.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import heatmaps_ome
from heatmaps_ome.cli.arguments import OptionsParser
from heatmaps_ome.cli.creating import run_create
from heatmaps_ome.cli.guard import guarded, log_to_stderr
from heatmaps_ome.cli.layout import page_for
from heatmaps_ome.cli.remote import at_hand, named
from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.cli.utf8_mode import use_utf8
from heatmaps_ome.cli.verdicts import named_verdict, place_text, verdict_lines
from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.options import (
    CollectOptions,
    CompareOptions,
    ConvertOptions,
    CreateOptions,
    DemoOptions,
    ExportOptions,
    ExtractOptions,
    InfoOptions,
    ShareOptions,
    ValidateOptions,
    ViewOptions,
    nearest,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

USAGE = """usage: heatmaps-ome COMMAND [OPTIONS]

Viewer-ready heatmaps of attention-MIL models on whole-slide images.

commands:
  create         slides + MIL model in, OME-Zarr, OME-TIFF overlays and previews out; in stages:
    maps           slides + MIL model in, raw maps of each slide out (the network's work)
    fit            raw maps in, the colour scale that all slides share out
    draw           raw maps and colour scale in, the files of each slide out
    collect        bring a folder's report, list and QuPath project up to date with its slides
  export         scores of tiles, from any tool, in, the same out without a model
  extract        slides in, features of their tiles out, for TRIDENT, CLAM and MIL-Lab
  extractors     list the encoders for create and extract, and what they need
  demo           maps of a synthetic slide, which the command makes
  view           show results in the browser or in napari, and serve them to other web viewers
  share          make a folder or zip file that opens in any browser, without Python
  compare        two models, runs or options on the same slides, side by side
  info           describe a slide, a model, features, scores or a result
  validate       read results back with other libraries and list their problems
  convert-model  turn the file of a model into safetensors that cannot run code
  cache          list the data that a cache holds, by slide, and remove old ones

heatmaps-ome COMMAND --help lists the options of a command.
"""

CREATE_DESCRIPTION = (
    "Create heatmaps for MIL models: attention, class scores and contributions, aligned to the "
    "slide, for QuPath, napari and web viewers."
)

EXTRACT_DESCRIPTION = (
    "Write the features of each slide's tissue tiles to SLIDE.h5 in TRIDENT's layout (features, "
    "and coords in level-0 pixels), to train MIL models on with TRIDENT, CLAM or MIL-Lab. A "
    "stopped run goes on where it stopped."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    if argv is None:
        use_utf8()
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _run(words))


def _run(words: list[str]) -> int:
    """Run the command that the first word names and return its exit code."""
    if not words:
        sys.stderr.write(USAGE)
        return 2
    command = words[0]
    if command in ("-h", "--help"):
        sys.stdout.write(USAGE)
        return 0
    if command == "--version":
        sys.stdout.write(f"heatmaps-ome {heatmaps_ome.__version__}\n")
        return 0
    if command not in COMMANDS:
        sys.stderr.write(f"heatmaps-ome: {_no_such_command(words)}\nSee heatmaps-ome --help\n")
        return 2
    return COMMANDS[command](words[1:])


def _no_such_command(words: list[str]) -> str:
    """Return a sentence about a command line that begins with no command."""
    command = next((word for word in words if word in COMMANDS), None)
    if words[0].startswith("-") and command is not None:
        return f"options follow the command: heatmaps-ome {command} {one_line(words[0])}"
    hint = nearest(words[0], COMMANDS)
    sentence = f"there is no command {one_line(repr(words[0]))}"
    return f"{sentence}; {hint}" if hint else sentence


def create(words: Sequence[str], prog: str = "heatmaps-ome create") -> int:
    """Run ``create``."""
    log_to_stderr(verbose=False)
    options = OptionsParser(CreateOptions, prog, CREATE_DESCRIPTION).parse_args(words)
    return run_create(options)


def export(words: Sequence[str]) -> int:
    """Run ``export``."""
    parser = OptionsParser(
        ExportOptions,
        "heatmaps-ome export",
        "Show scores of a slide's tiles, whatever tool gave them, in QuPath, napari and web "
        "viewers: no model is needed. Places, units and sizes come from the file where it states "
        "them; what it lacks is asked for.",
    )
    log_to_stderr(verbose=False)
    return run_create(parser.parse_args(words))


def stage(name: str, words: Sequence[str]) -> int:
    """Run a stage of ``create``."""
    log_to_stderr(verbose=False)
    from heatmaps_ome.cli.stages import STAGES

    return STAGES[name](words)


def extract(words: Sequence[str]) -> int:
    """Run ``extract``."""
    parser = OptionsParser(ExtractOptions, "heatmaps-ome extract", EXTRACT_DESCRIPTION)
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    log_to_stderr(verbose=options.verbose)
    from heatmaps_ome.memory import starting

    with starting():
        from heatmaps_ome.cli import extract_summary
        from heatmaps_ome.run import extraction, progress
    display = progress.for_stream(sys.stderr)
    try:
        outcomes = extraction.extract(options, display)
    finally:
        display.close()
    page = page_for(sys.stdout, verbose=options.verbose)
    sys.stdout.write(extract_summary.of_extraction(outcomes, options, page))
    return 1 if any(outcome.status == "failed" for outcome in outcomes) else 0


def extractors(words: Sequence[str]) -> int:
    """Run ``extractors``."""
    log_to_stderr(verbose=False)
    from heatmaps_ome.cli.extractors import extractors as run

    return run(words)


def demo(words: Sequence[str]) -> int:
    """Run ``demo``."""
    parser = OptionsParser(
        DemoOptions, "heatmaps-ome demo", "Make a synthetic slide and its heatmaps."
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    log_to_stderr(verbose=options.verbose)
    if options.fiducials:
        from heatmaps_ome.demo.fiducials import make_fiducials

        sys.stdout.write(make_fiducials(options))
        return 0
    from heatmaps_ome.demo.job import demo_options

    return run_create(demo_options(options))


def collect(words: Sequence[str]) -> int:
    """Run ``collect``."""
    parser = OptionsParser(
        CollectOptions,
        "heatmaps-ome collect",
        "Rebuild what all runs in an output folder share (run.json, the report, the QuPath "
        "project, scaling.json if it is lost) from the slides' folders. Every run does so at its "
        "end; use it after runs that were stopped, or after folders were removed or added.",
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    from heatmaps_ome.cli.collecting import run_collect

    return run_collect(options)


def view(words: Sequence[str]) -> int:
    """Run ``view``."""
    parser = OptionsParser(
        ViewOptions,
        "heatmaps-ome view",
        "Show results in the browser: slide and maps, values under the mouse. Everything is on "
        "this machine and nothing needs the internet; no other machine can reach it. From a "
        "remote machine's terminal: ssh -L 8765:127.0.0.1:8765 MACHINE, then open the address "
        "that is printed there.",
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    if options.napari:
        from heatmaps_ome.viewers.napari.opening import open_in_napari

        open_in_napari(options.path, options.slide)
        return 0
    from heatmaps_ome.viewers.server.server import view as serve

    def say(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    serve(
        options.path,
        say,
        host=options.host,
        port=options.port,
        allow_origin=options.allow_origin,
        browser=not options.no_browser,
    )
    return 0


def share(words: Sequence[str]) -> int:
    """Run ``share``."""
    parser = OptionsParser(
        ShareOptions,
        "heatmaps-ome share",
        "Make a folder for people without Python: its START-HERE.html opens from disk in any "
        "browser, with slides down to their own resolution, all maps over them, and the value "
        "under the mouse. It holds pictures of the slides' tissue, but neither labels of slides "
        "nor paths.",
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    from heatmaps_ome.cli.sharing import run_share

    return run_share(options)


def compare(words: Sequence[str]) -> int:
    """Run ``compare``."""
    parser = OptionsParser(
        CompareOptions,
        "heatmaps-ome compare",
        "Hold two results on the same slides side by side: two models, two runs or two options. "
        "Difference maps B − A, correlations, agreement of regions and predictions, in a report "
        "of its own; view and the viewers open the difference maps.",
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    log_to_stderr(verbose=options.verbose)
    from heatmaps_ome.cli.comparing import run_compare

    return run_compare(options)


def info(words: Sequence[str]) -> int:
    """Run ``info``."""
    parser = OptionsParser(
        InfoOptions,
        "heatmaps-ome info",
        "Describe a slide, a model, features or scores of tiles, or a result.",
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    from heatmaps_ome.cli.info import describe, facts_of
    from heatmaps_ome.slides.opening import known_reader

    failed, reader = False, known_reader(options.reader)
    for path in options.paths:
        try:
            with at_hand(path) as place:
                text = describe(place, facts_of(options), reader)
                sys.stdout.write(named(text, path, place) + "\n")
        except HeatmapsError as error:
            sys.stderr.write(f"heatmaps-ome: {one_line(error)}\n")
            failed = True
    return 1 if failed else 0


def validate(words: Sequence[str]) -> int:
    """Run ``validate``."""
    parser = OptionsParser(
        ValidateOptions,
        "heatmaps-ome validate",
        "Read results back with other libraries than those that wrote them, and list their "
        "problems: NGFF, OME-XML, TIFF, pyramids, labels, positions in µm, hashes.",
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    from heatmaps_ome.validate.result import validate as validated

    verdicts = []
    for path in options.paths:
        with at_hand(path) as place:
            verdicts.append(named_verdict(validated(place, options.slide), path, place))
    problems = [problem for verdict in verdicts for problem in verdict.problems]
    if options.json:
        records = [
            {"path": place_text(p.path), "rule": p.rule, "message": p.message} for p in problems
        ]
        unchecked = [sentence for verdict in verdicts for sentence in verdict.unchecked]
        facts = {"valid": not problems, "problems": records, "unchecked": unchecked}
        sys.stdout.write(json.dumps(facts, indent=2) + "\n")
    else:
        for verdict in verdicts:
            sys.stdout.write(verdict_lines(verdict))
    return 1 if problems else 0


def convert_model(words: Sequence[str]) -> int:
    """Run ``convert-model``."""
    parser = OptionsParser(
        ConvertOptions,
        "heatmaps-ome convert-model",
        "Turn an export.pkl, or a checkpoint of another system, into safetensors: it cannot run "
        "code, and holds nothing of the training set's patients.",
    )
    log_to_stderr(verbose=False)
    options = parser.parse_args(words)
    from heatmaps_ome.cli.info import facts_of
    from heatmaps_ome.models.conversion import convert_model as convert

    convert(
        options.source,
        options.target,
        facts_of(options),
        allow_pickle=options.allow_pickle,
        overwrite=options.overwrite,
    )
    sys.stdout.write(f"{options.target}\n")
    return 0


def cache(words: Sequence[str]) -> int:
    """Run ``cache``."""
    log_to_stderr(verbose=False)
    from heatmaps_ome.cli.cache import cache as run

    return run(words)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "create": create,
    "maps": partial(stage, "maps"),
    "fit": partial(stage, "fit"),
    "draw": partial(stage, "draw"),
    "export": export,
    "extract": extract,
    "extractors": extractors,
    "demo": demo,
    "collect": collect,
    "view": view,
    "share": share,
    "compare": compare,
    "info": info,
    "validate": validate,
    "convert-model": convert_model,
    "cache": cache,
}


if __name__ == "__main__":
    sys.exit(main())
