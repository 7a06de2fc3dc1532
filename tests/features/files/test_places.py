"""Tiles of every system are read at the place where their pixels are.

The feature files of the zoo hold each tile's mean colour: read with another library at our place,
the slide has to have that colour.
"""

from pathlib import Path

import numpy as np
import openslide
import pytest

from heatmaps_ome.features.files import facts_of, read_bag, tissue_share
from heatmaps_ome.slides.opening import open_slide

SLIDES = {
    "CMU-1-Small-Region": "CMU-1-Small-Region.svs",
    "mirax-cmu-bounds": "mirax-cmu-bounds.mrxs",
    "aperio-3levels-cmu": "aperio-3levels-cmu.svs",
}
FILES = (
    "clam-CMU-1-Small-Region-224px-step224-features.h5",
    "clam-CMU-1-Small-Region-256px-step128-features.h5",
    "stamp-2.2.0-CMU-1-Small-Region-56um_112px.h5",
    "stamp-2.3.0-CMU-1-Small-Region-56um_112px.h5",
    "stamp-2.5.0-CMU-1-Small-Region-56um_112px.h5",
    "stamp-2.5.0-aperio-3levels-cmu-56um_112px.h5",
    "stamp-2.5.0-mirax-cmu-bounds-56um_112px.h5",
    "trident-CMU-1-Small-Region-10x_112px_0px_overlap.h5",
    "trident-CMU-1-Small-Region-20x_256px_0px_overlap.h5",
    "trident-CMU-1-Small-Region-20x_256px_192px_overlap.h5",
)


def slide_of(name: str, shared_data: Path) -> Path:
    [slide] = [file for stem, file in SLIDES.items() if stem in name]
    return shared_data / "slides" / slide


def colour_error(slide: openslide.OpenSlide, bag, shift: float = 0.0) -> float:
    """Return the median difference of tiles' colours, in [0, 1], of 25 tiles."""
    rows = np.random.default_rng(0).permutation(bag.count)[:25]
    errors = []
    for x0, y0, x1, y1, *colour in np.hstack([bag.l0_places, bag.features[:, :3]])[rows]:
        corner = (round(x0 + shift * (x1 - x0)), round(y0 + shift * (y1 - y0)))
        read = slide.read_region(corner, 0, (round(x1 - x0), round(y1 - y0)))
        mean = np.asarray(read)[..., :3].mean(axis=(0, 1)) / 255
        errors.append(np.abs(mean - colour).max())
    return float(np.median(errors))


@pytest.mark.parametrize("name", FILES)
def test_a_tile_has_its_colour_at_its_place(name, shared_data):
    path = slide_of(name, shared_data)
    with_facts = open_slide(path)
    bag = read_bag(shared_data / "zoo/features" / name, facts_of(with_facts))
    with openslide.OpenSlide(path) as slide:
        assert colour_error(slide, bag) <= 0.012
        assert colour_error(slide, bag, shift=0.5) > 0.03
    assert tissue_share(with_facts, bag) > 0.6
    with_facts.close()
