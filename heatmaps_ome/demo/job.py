"""The demo: ``create`` on a slide, an extractor and a model that need no download."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import heatmaps_ome
from heatmaps_ome.demo.slide import write_demo_slide
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.storage.result_folder import require_writable

if TYPE_CHECKING:
    from collections.abc import Callable

    from heatmaps_ome.options import DemoOptions

TRUE_CLASS = "tumour"


def demo_options(
    options: DemoOptions, make: Callable[[Path, int], object] = write_demo_slide
) -> CreateOptions:
    """Make the slide with ``make``, unless it exists, and return the options for ``create``.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    output = options.output_path
    require_writable(output)
    output.mkdir(parents=True, exist_ok=True)
    slide = output / f"demo-slide-{options.seed}.svs"
    if not slide.exists():
        make(slide, options.seed)
    return CreateOptions(
        slides=(slide,),
        model_path=Path(heatmaps_ome.__file__).parent / "demo" / "data" / "demo-export.pkl",
        output_path=output,
        true_class=TRUE_CLASS,
        extractor="tiny",
        overwrite=options.overwrite,
        verbose=options.verbose,
    )
