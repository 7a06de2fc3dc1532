"""Options of all commands but ``create``.

Annotations are evaluated here (no ``from __future__ import annotations``), and optional values
are spelled ``Optional``: argparse-dataclass 2.0.0 reads the types at run time and knows no other
spelling.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from heatmaps_ome.options.bounds import quoted, require_sound
from heatmaps_ome.options.contradictions import given
from heatmaps_ome.options.create import CreateOptions
from heatmaps_ome.options.fields import names, option
from heatmaps_ome.options.shared import model_fact, same_as
from heatmaps_ome.options.units import age_in_s, size_in_bytes
from heatmaps_ome.storage.remote.urls import url_of

_ORIGIN = re.compile(r"https?://[^/\s?#]+")


@dataclass(frozen=True)
class InfoOptions:
    """Options of ``heatmaps-ome info``."""

    paths: tuple[Path, ...] = field(
        default=(),
        metadata={
            "args": ["paths"],
            "group": "inputs",
            "type": Path,
            "urls": True,
            "nargs": "+",
            "metavar": "PATH",
            "help": "slides, models or results",
        },
    )
    reader: str = same_as(
        CreateOptions, "reader", help="library that reads slides: auto or the name of one"
    )
    class_names: tuple[str, ...] = model_fact("class_names")
    task: Optional[str] = model_fact("task")
    family: Optional[str] = model_fact("family")
    head: Optional[str] = model_fact("head")
    heads: Optional[int] = model_fact("heads")
    attention_gate: Optional[float] = model_fact("attention_gate")
    temperature: Optional[float] = model_fact("temperature")

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        require_sound(self)


@dataclass(frozen=True)
class ConvertOptions:
    """Options of ``heatmaps-ome convert-model``."""

    source: Path = field(
        metadata={
            "args": ["source"],
            "group": "inputs",
            "type": Path,
            "metavar": "MODEL",
            "help": "marugoto's export.pkl, or a checkpoint of another system",
        },
    )
    target: Path = field(
        metadata={
            "args": ["target"],
            "group": "inputs",
            "type": Path,
            "metavar": "MODEL_SAFETENSORS",
            "help": "file to write, with weights and class names but no data of the training set",
        },
    )
    class_names: tuple[str, ...] = model_fact("class_names")
    task: Optional[str] = model_fact("task")
    family: Optional[str] = model_fact("family")
    head: Optional[str] = model_fact("head")
    heads: Optional[int] = model_fact("heads")
    attention_gate: Optional[float] = model_fact("attention_gate")
    temperature: Optional[float] = model_fact("temperature")
    allow_pickle: bool = option(
        "inputs", "let fastai load it if the safe reader refuses; this runs code from the file",
        default=False,
    )  # fmt: skip
    overwrite: bool = option("inputs", "replace the file if it exists", default=False)

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        require_sound(self)

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        if self.allow_pickle and self.source.suffix == ".safetensors":
            yield "--allow-pickle has no effect: safetensors hold no pickle"


@dataclass(frozen=True)
class DemoOptions:
    """Options of ``heatmaps-ome demo``."""

    output_path: Path = option(
        "outputs", "folder to write to (default: demo-output)", "-o", "--output-path",
        default=Path("demo-output"), type=Path,
    )  # fmt: skip
    seed: int = option(
        "inputs", "seed of the synthetic slide",
        default=2024, type=int, metavar="N", between=(0, 2**32 - 1),
    )  # fmt: skip
    fiducials: bool = option(
        "inputs",
        "make a slide with landmarks instead, and results that mark them, to check a viewer's "
        "alignment",
        default=False,
    )
    overwrite: bool = option("outputs", "replace an earlier demo's results", default=False)
    verbose: bool = option("outputs", "print more messages", "-v", "--verbose", default=False)

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        require_sound(self)

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        if self.fiducials and given(self, "seed"):
            yield "--seed has no effect: the slide of --fiducials is always the same"


@dataclass(frozen=True)
class ValidateOptions:
    """Options of ``heatmaps-ome validate``."""

    paths: tuple[Path, ...] = field(
        default=(),
        metadata={
            "args": ["paths"],
            "group": "inputs",
            "type": Path,
            "urls": True,
            "nargs": "+",
            "metavar": "RESULT",
            "help": "runs, slides' folders of results, OME-Zarrs or OME-TIFFs",
        },
    )
    slide: tuple[Path, ...] = option(
        "inputs", "slide that a result was made from, compared pixel by pixel; may be repeated",
        default=(), type=Path, metavar="SLIDE", repeated=True,
    )  # fmt: skip
    json: bool = option("outputs", "print the problems as JSON", default=False)

    def __post_init__(self) -> None:
        """Refuse values that no run can use."""
        require_sound(self)


@dataclass(frozen=True)
class CollectOptions:
    """Options of ``heatmaps-ome collect``."""

    path: Path = field(
        metadata={
            "args": ["path"],
            "group": "results",
            "type": Path,
            "urls": True,
            "metavar": "OUTPUT_PATH",
            "help": "folder that create wrote to",
        },
    )
    project: Optional[str] = option(
        "QuPath", "also make a project of the slides in --slides alone, viewers/qupath-NAME, and "
        "keep it up to date from now on: one of thousands of slides is unwieldy",
        type=str, metavar="NAME",
    )  # fmt: skip
    slides: tuple[str, ...] = option(
        "QuPath", "names of slides in the project, comma-separated, or patterns such as 'A*'",
        default=(), type=names, metavar="NAMES",
    )  # fmt: skip
    from_file: Optional[Path] = option(
        "QuPath", "file with such names or patterns, one a line", type=Path, metavar="FILE"
    )

    def __post_init__(self) -> None:
        """Refuse slides without a project, and a project without slides."""
        require_sound(self)
        has_slides = bool(self.slides) or self.from_file is not None
        if has_slides and self.project is None:
            raise ValueError("--slides and --from-file select slides for --project NAME; add it")
        if self.project is not None and not has_slides:
            raise ValueError("--project has no slides; add --slides NAMES or --from-file FILE")


@dataclass(frozen=True)
class ViewOptions:
    """Options of ``heatmaps-ome view``."""

    path: Path = field(
        metadata={
            "args": ["path"],
            "group": "results",
            "type": Path,
            "urls": True,
            "metavar": "OUTPUT_PATH",
            "help": "folder that create wrote to, or one slide's folder in it",
        },
    )
    port: Optional[int] = option(
        "server", "port to serve at (default: 8765, or any if that is taken)",
        type=int, metavar="N", between=(0, 65535),
    )  # fmt: skip
    host: str = option(
        "server",
        "address to serve at; with any other than this machine's own, such as 0.0.0.0, everyone "
        "who can reach it can see the slides",
        default="127.0.0.1",
        type=str,
        metavar="ADDRESS",
    )
    allow_origin: tuple[str, ...] = option(
        "server",
        "web page that may read the files too (https://host, or * for all), beside pages of this "
        "machine and the linked viewers; may be repeated",
        default=(), type=str, metavar="ORIGIN", repeated=True,
    )  # fmt: skip
    no_browser: bool = option("server", "do not open the browser", default=False)
    napari: bool = option(
        "napari", "open a slide in napari, which has to be installed, instead of serving a page",
        default=False,
    )  # fmt: skip
    slide: Optional[str] = option(
        "napari", "folder of the slide to open in napari (default: the first of the run)",
        type=str, metavar="NAME",
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Refuse ports, addresses and origins that there are none of."""
        require_sound(self)
        try:
            self.host.encode("idna")
        except UnicodeError as error:
            raise ValueError(f"--host is {quoted(self.host)}; give an address") from error
        if self.napari and url_of(self.path):
            raise ValueError("--napari opens results on a disk; leave it out, or download them")
        for origin in self.allow_origin:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"--allow-origin is {quoted(origin)}; give https://HOST, without a path, or *"
                )

    def notes(self) -> Iterator[str]:
        """Yield a sentence for each option that has no effect beside the others."""
        if self.napari and self != ViewOptions(path=self.path, napari=True, slide=self.slide):
            yield "--napari: nothing is served, so options of the server have no effect"
        if self.slide is not None and not self.napari:
            yield "--slide has no effect without --napari; the page lists all slides"
        if "*" in self.allow_origin and len(set(self.allow_origin)) > 1:
            yield "--allow-origin: * allows all pages, whichever others are given"


@dataclass(frozen=True)
class CacheOptions:
    """Options of ``heatmaps-ome cache``."""

    path: Path = field(
        metadata={
            "args": ["path"],
            "group": "inputs",
            "type": Path,
            "metavar": "DIR",
            "help": "folder of a cache, or folder that create wrote to",
        },
    )
    max_size: Optional[str] = option(
        "cache", "keep at most this much, such as 50GB", type=str, metavar="SIZE"
    )
    older_than: Optional[str] = option(
        "cache", "remove pieces not used for this long, such as 30d, 12h or 4w",
        type=str, metavar="AGE",
    )  # fmt: skip
    kind: tuple[str, ...] = option(
        "cache", "only pieces of these kinds, comma-separated: pixels, features, tiles, maps, "
        "pictures (default: all)",
        default=(), type=names, metavar="KINDS",
    )  # fmt: skip
    dry_run: bool = option("cache", "list the pieces to remove, and remove none", default=False)

    def __post_init__(self) -> None:
        """Refuse sizes and ages that are none, and dry runs of nothing."""
        require_sound(self)
        try:
            _ = self.max_bytes, self.max_age_s
        except ValueError as error:
            raise ValueError(f"--max-size and --older-than: {error}") from error
        if self.dry_run and self.max_size is None and self.older_than is None:
            raise ValueError("--dry-run removes nothing of nothing; add --max-size or --older-than")

    @property
    def max_bytes(self) -> Optional[int]:
        """The size to keep in bytes; None: any."""
        return None if self.max_size is None else size_in_bytes(self.max_size)

    @property
    def max_age_s(self) -> Optional[float]:
        """The age to keep in s; None: any."""
        return None if self.older_than is None else age_in_s(self.older_than)
