"""A good small run, and a way to break a copy of it for each rule of ``validate``."""

from __future__ import annotations

import itertools
import json
import shutil
import struct

import numcodecs
import numpy as np
import pyvips
import tifffile
import zarr
from fake_extractors import CLASSES, MeanColourTiles
from made_once import made_once
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.ome.tiff_chain import chain_sub_ifds
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.storage.digests import file_digests
from heatmaps_ome.validate.record import record_digest

NAME = "a"
IMAGE, VALUES = f"{NAME}.ome.zarr", f"{NAME}.values.ome.zarr"
LABEL, TISSUE = f"{IMAGE}/labels/attention", f"{IMAGE}/labels/tissue"
WINNER = f"{IMAGE}/labels/winner"
CLIPPED = f"{IMAGE}/labels/contribution-{CLASSES[0]}"
OVERLAY, VALUE_TIFF = f"{NAME}.attention.ome.tiff", f"{NAME}.values.ome.tiff"
FLAT, MANIFEST = f"{NAME}.attention.flat.ome.zarr", "maps.json"
PREVIEW = "previews/slide.png"


def load_off_centre(weights, device, precision):
    """Load an extractor whose cells, like a ResNet's, lie half a cell up-left of its squares."""
    return MeanColourTiles(centre_px=0.5)


def good_run(folder, **changed):
    """Make two slides and their results with ``create``; return the folder of the run."""
    write_slide(folder / "a.svs", speckled(805, 2107))
    write_slide(folder / "b.svs", speckled(300, 400, seed=1))
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    given = {
        "slides": (folder / "a.svs", folder / "b.svs"),
        "model_path": folder / "export.pkl",
        "output_path": folder / "out",
        "true_class": CLASSES[0],
        "extractor": "off-centre",
        # Fine enough for overlays of such slides to have levels.
        "overlay_px": 8,
        "flattened": True,
    }
    known = extractors.REGISTRY.get("off-centre")
    extractors.REGISTRY["off-centre"] = "broken_results:load_off_centre"
    try:
        outcomes = create(CreateOptions(**(given | changed)), silent)
    finally:
        del extractors.REGISTRY["off-centre"]
    assert known is None
    assert [outcome.status for outcome in outcomes] == ["done"] * len(outcomes)
    return folder / "out"


def shared_good_run(tmp_path_factory, ngff="0.4"):
    """Return the folder of a good run that all tests share and none changes."""
    made = made_once(
        tmp_path_factory, f"good-run-{ngff}", lambda folder: good_run(folder, ngff=ngff)
    )
    return made / "out"


def rehash(folder):
    """Let a result's provenance list its files as they are now."""
    with edited(folder / "provenance.json") as record:
        record["files"] = {
            name: digest
            for name, digest in file_digests(folder).items()
            if name != "provenance.json"
        }
        record["sha256"] = record_digest(record)


class edited:
    """A JSON file that is written back at the end of a ``with``."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.said = json.loads(self.path.read_text(encoding="utf-8"))
        return self.said

    def __exit__(self, *_):
        self.path.write_text(json.dumps(self.said), encoding="utf-8")


def rewrite_array(path, change=lambda pixels: pixels, **settings):
    """Write an array of a store anew, with other pixels or settings."""
    array = zarr.open_array(path, mode="r")
    pixels = change(array[...])
    given = {
        "chunks": array.chunks,
        "compressors": numcodecs.Blosc("zstd", 5),
        "fill_value": array.fill_value,
    }
    shutil.rmtree(path)
    new = zarr.create_array(
        path, shape=pixels.shape, dtype=pixels.dtype, zarr_format=2,
        chunk_key_encoding={"name": "v2", "separator": "/"}, **(given | settings),
    )  # fmt: skip
    new[...] = pixels


def rewrite_overlay(path, change=lambda rgba: rgba, chain=True, **settings):
    """Write an overlay anew, with other pixels or settings."""
    image = pyvips.Image.new_from_file(str(path), page=0)
    description = image.get("image-description")
    given = {
        "compression": "deflate", "predictor": "none", "tile": True, "tile_width": 256,
        "tile_height": 256, "pyramid": True, "subifd": True, "bigtiff": True,
        "region_shrink": "mean", "xres": image.xres, "yres": image.yres,
    }  # fmt: skip
    new = pyvips.Image.new_from_array(change(image.numpy())).copy(interpretation="srgb")
    new.set_type(pyvips.GValue.gstr_type, "image-description", description)
    path.unlink()
    new.tiffsave(str(path), **(given | settings))
    if chain:
        chain_sub_ifds(path)


def rewrite_value_tiff(path, change=lambda channel: channel, **settings):
    """Write the raw values of a TIFF anew, with other pixels or settings."""
    roll = pyvips.Image.new_from_file(str(path), n=-1)
    rows = roll.get("page-height")
    given = {
        "compression": "deflate", "predictor": "none", "tile": True, "tile_width": 256,
        "tile_height": 256, "bigtiff": True, "page_height": rows, "xres": roll.xres,
        "yres": roll.yres,
    }  # fmt: skip
    channels = roll.numpy().reshape(-1, rows, roll.width)
    changed = np.concatenate([change(channel) for channel in channels])
    new = pyvips.Image.new_from_array(changed).copy()
    description = roll.get("image-description")
    new.set_type(pyvips.GValue.gstr_type, "image-description", description)
    path.unlink()
    new.tiffsave(str(path), **(given | settings))


def give_value_tiff_a_level(path):
    """Write the raw values of a TIFF anew, with a second level of every other pixel."""
    with tifffile.TiffFile(path) as file:
        page, channels = file.pages[0], file.series[0].asarray()
        said = {
            "resolution": page.resolution, "resolutionunit": page.resolutionunit,
            "photometric": "minisblack", "compression": "zlib", "tile": (256, 256),
            "metadata": None,
        }  # fmt: skip
        description = page.description
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for number, channel in enumerate(channels):
            text = {"description": description.encode()} if number == 0 else {}
            file.write(channel, subifds=1, **said, **text)
            file.write(channel[::2, ::2], subfiletype=1, **said)


def without_flats(folder):
    """Remove the pictures with a map burnt in, which a broken slide image would break too."""
    for store in folder.glob("*.flat.ome.zarr"):
        shutil.rmtree(store)
    with edited(folder / MANIFEST) as said:
        for shown in said["maps"]:
            shown["flat"] = None


def replace_bytes(path, old, new):
    """Replace bytes of a file by as many others."""
    assert len(old) == len(new)
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def each_level(store):
    """Return the paths of a store's levels, finest first."""
    return sorted(each.parent for each in store.glob("*/.zarray"))


def multiscale(attributes):
    return attributes["multiscales"][0]


def set_scale(attributes, factor, levels=None):
    for level, dataset in enumerate(multiscale(attributes)["datasets"]):
        if levels is None or level in levels:
            move = dataset["coordinateTransformations"][0]
            move["scale"][-1] *= factor


def roll_label(store, axis=1, pixels=4):
    """Shift a label by some of its finest pixels, at all levels."""
    for level, path in enumerate(each_level(store)):
        rewrite_array(path, lambda p, n=pixels >> level: np.roll(p, n, axis=axis))


def transposed(pixels):
    """Return pixels with x and y swapped, in the shape that they had."""
    out = np.zeros_like(pixels)
    rows, cols = (min(pixels.shape),) * 2
    out[:rows, :cols] = pixels[:rows, :cols].T
    return out


# One way to break each rule, and nothing else.


def readable(folder):
    (folder / VALUES / ".zattrs").write_text("{")


def ngff_model(folder):
    with edited(folder / IMAGE / ".zattrs") as said:
        multiscale(said)["axes"][0]["type"] = "space"
        multiscale(said)["axes"][1]["type"] = "channel"


def multiscales_complete(folder):
    with edited(folder / IMAGE / ".zattrs") as said:
        del multiscale(said)["type"]


def axes(folder):
    with edited(folder / IMAGE / ".zattrs") as said:
        multiscale(said)["axes"][0] = {"name": "z", "type": "space", "unit": "micrometer"}


def units_micrometer(folder):
    with edited(folder / LABEL / ".zattrs") as said:
        multiscale(said)["axes"][1]["unit"] = "millimeter"


def scale_doubles(folder):
    with edited(folder / IMAGE / ".zattrs") as said:
        set_scale(said, 1.002, levels=[1])


def level_sizes_halve_up(folder):
    rewrite_array(folder / IMAGE / "1", lambda pixels: pixels[:, :-1])


def chunks(folder):
    rewrite_array(folder / IMAGE / "0", chunks=(3, 300, 300))


def codecs(folder):
    rewrite_array(folder / LABEL / "1", compressors=numcodecs.Zstd())


def no_translation(folder):
    with edited(folder / LABEL / ".zattrs") as said:
        for dataset in multiscale(said)["datasets"]:
            dataset["coordinateTransformations"].append(
                {"type": "translation", "translation": [4.0, 4.0]}
            )


def omero_complete(folder):
    with edited(folder / IMAGE / ".zattrs") as said:
        said["omero"]["channels"].pop()


def levels_agree(folder):
    without_flats(folder)
    rewrite_array(folder / IMAGE / "1", lambda pixels: np.roll(pixels, 8, axis=2))


def ome_xml(folder):
    replace_bytes(folder / IMAGE / "OME" / "METADATA.ome.xml", b'SizeC="3"', b'SizeC="1"')


def labels_listed(folder):
    with edited(folder / IMAGE / "labels" / ".zattrs") as said:
        said["labels"].remove("tissue")


def label_levels_agree(folder):
    rewrite_array(folder / LABEL / "1", lambda pixels: np.roll(pixels, 3, axis=1))


def label_count_equals_image(folder):
    with edited(folder / LABEL / ".zattrs") as said:
        multiscale(said)["datasets"].pop()


def label_no_omero(folder):
    with edited(folder / IMAGE / ".zattrs") as image, edited(folder / LABEL / ".zattrs") as said:
        said["omero"] = image["omero"]


def label_dtype_integer(folder):
    for path in each_level(folder / LABEL):
        rewrite_array(path, lambda pixels: pixels.astype(np.float32))


def label_source(folder):
    with edited(folder / LABEL / ".zattrs") as said:
        said["image-label"]["source"]["image"] = "../"


def label_colours_complete(folder):
    with edited(folder / LABEL / ".zattrs") as said:
        said["image-label"]["colors"][100]["rgba"] = None


def label_values_have_properties(folder):
    with edited(folder / TISSUE / ".zattrs") as said:
        del said["image-label"]["properties"][1]["tissue"]


def label_zero_transparent(folder):
    with edited(folder / LABEL / ".zattrs") as said:
        said["image-label"]["colors"][0]["rgba"] = [0, 0, 0, 255]


def label_bounds(folder):
    with edited(folder / CLIPPED / ".zattrs") as said:
        for entry in said["image-label"]["properties"]:
            entry.pop("bound", None)


def label_classes(folder):
    with edited(folder / WINNER / ".zattrs") as said:
        first, second = said["image-label"]["properties"][1:3]
        first["winner"], second["winner"] = second["winner"], first["winner"]
        said["image-label"]["heatmaps_ome"]["categories"].reverse()
    with edited(folder / MANIFEST) as said:
        [shown] = [each for each in said["maps"] if each["name"] == "winner"]
        shown["categories"].reverse()


def values_finite_where_tissue(folder):
    with edited(folder / VALUES / ".zattrs") as said:
        said["heatmaps_ome"]["tissue_cells"] += 1
    with edited(folder / "provenance.json") as record:
        record["tissue_cells"] += 1


def values_add_up(folder):
    with edited(folder / VALUES / ".zattrs") as said:
        said["heatmaps_ome"]["logits"][0] += 0.1


def values_leave_one_out(folder):
    signs = [1] * 6 + [-1] + [1] * 2
    rewrite_array(folder / VALUES / "0", lambda stack: stack * np.float32(signs)[:, None, None])
    # The TIFF has the artefacts besides.
    each = iter([*signs, 1])
    rewrite_value_tiff(folder / VALUE_TIFF, lambda channel: channel * np.float32(next(each)))


def values_channels(folder):
    with edited(folder / VALUES / ".zattrs") as said:
        said["heatmaps_ome"]["channels"][1]["unit"] = "logit"


def values_evidence(folder):
    """Round the evidence to what its labels stand for, in which they keep agreeing with it."""
    record = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    ends, factor = record["scaling"]["ranges"]["evidence"][-1], record["tissue_cells"]
    step = (ends["upper"] - ends["lower"]) / 254

    def rounded(channel):
        levels = np.round((channel * factor - ends["lower"]) / step)
        return ((ends["lower"] + step * levels) / factor).astype(np.float32)

    last = zarr.open_array(folder / VALUES / "0", mode="r").shape[0] - 1
    rewrite_array(folder / VALUES / "0", lambda s: np.stack([*s[:last], rounded(s[last])]))
    places = itertools.count()
    rewrite_value_tiff(folder / VALUE_TIFF, lambda c: rounded(c) if next(places) == last else c)


def values_members(folder):
    """Tell of two models where the maps are one's."""
    with edited(folder / VALUES / ".zattrs") as said:
        facts = said["heatmaps_ome"]
        told = {
            what: dict(zip(facts["classes"], facts[what], strict=True))
            for what in ("prediction", "logits")
        }
        facts["members"] = [{"name": name, "digest": name, **told} for name in ("one", "other")]


def placement_values(folder):
    with edited(folder / VALUES / ".zattrs") as said:
        said["heatmaps_ome"]["l0_origin"]["x"] += 1
    with edited(folder / "provenance.json") as record:
        record["grid"]["l0_origin"][1] += 1


def tiff_ome_xml(folder):
    replace_bytes(folder / OVERLAY, b'SizeC="4"', b'SizeC="3"')


def tiff_levels(folder):
    rewrite_overlay(folder / OVERLAY, chain=False)


def tiff_compression(folder):
    rewrite_overlay(folder / OVERLAY, compression="packbits")


def tiff_alpha(folder):
    def fringed(rgba):
        rgba = rgba.copy()
        rgba[rgba[..., 3] == 0] = (9, 9, 9, 0)
        return rgba

    rewrite_overlay(folder / OVERLAY, fringed)


def tiff_physical_size(folder):
    rewrite_overlay(folder / OVERLAY, xres=300)


def tiff_levels_agree(folder):
    with tifffile.TiffFile(folder / OVERLAY, mode="r+b") as file:
        finest, coarser = file.pages[0], file.pages[0].pages[0].aspage()
        for tag, values in (
            ("TileOffsets", finest.dataoffsets), ("TileByteCounts", finest.databytecounts)
        ):  # fmt: skip
            coarser.tags[tag].overwrite(values[: len(coarser.dataoffsets)])


def value_tiff_form(folder):
    rewrite_value_tiff(folder / VALUE_TIFF, compression="packbits")


def value_tiff_levels(folder):
    give_value_tiff_a_level(folder / VALUE_TIFF)


def value_tiff_physical_size(folder):
    rewrite_value_tiff(folder / VALUE_TIFF, yres=300)


def value_tiff_channels(folder):
    replace_bytes(folder / VALUE_TIFF, b'Name="attention"', b'Name="attrition"')


def placement_value_tiff(folder):
    rewrite_value_tiff(folder / VALUE_TIFF, lambda channel: np.roll(channel, 1, axis=1))


def placement_image(folder):
    without_flats(folder)
    with edited(folder / IMAGE / ".zattrs") as said:
        set_scale(said, 1.1)
        um = multiscale(said)["datasets"][0]["coordinateTransformations"][0]["scale"][-1]
    xml = folder / IMAGE / "OME" / "METADATA.ome.xml"
    before, after = xml.read_text(encoding="utf-8").split('PhysicalSizeX="')
    xml.write_text(f'{before}PhysicalSizeX="{um!r}"{after[after.index(chr(34)) + 1 :]}', "utf-8")


def placement_labels(folder):
    roll_label(folder / LABEL)


def placement_overlay(folder):
    rewrite_overlay(folder / OVERLAY, lambda rgba: np.roll(rgba, 4, axis=0))


def flat_named(folder):
    with edited(folder / FLAT / ".zattrs") as said:
        said["heatmaps_ome"]["map"]["upper"] += 1


def flat_blend(folder):
    for path in each_level(folder / FLAT):
        rewrite_array(path, lambda pixels: 255 - pixels)


def manifest_agrees(folder):
    with edited(folder / MANIFEST) as said:
        said["maps"][0]["range"]["lower"] -= 1


def manifest_form(folder):
    with edited(folder / MANIFEST) as said:
        del said["maps"][0]["note"]


def record_form(folder):
    with edited(folder / "provenance.json") as record:
        record["slide"]["mpp"] = [0, 0]


def record_agrees(folder):
    with edited(folder / "provenance.json") as record:
        record["tissue_cells"] += 1


def record_whole(folder):
    with edited(folder / "provenance.json") as record:
        record["created"] = "2020-01-01T00:00:00+00:00"


def files_complete(folder):
    (folder / PREVIEW).unlink()


def hashes(folder):
    with (folder / PREVIEW).open("ab") as file:
        file.write(struct.pack("B", 0))


def slide_same(folder):
    with edited(folder / "provenance.json") as record:
        record["slide"]["fingerprint"] = "0" * 64


def slide_pixels(folder):
    without_flats(folder)
    for path in each_level(folder / IMAGE):
        rewrite_array(path, lambda pixels: 255 - pixels)


def run_complete(folder):
    shutil.rmtree(folder.parent / "b")


def prediction_table(folder):
    path = folder.parent / "predictions.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("a.svs", "=1+1", 1), encoding="utf-8", newline="")


BROKEN = {
    function.__name__.replace("_", "-"): function
    for function in (
        readable, ngff_model, multiscales_complete, axes, units_micrometer, scale_doubles,
        level_sizes_halve_up, chunks, codecs, no_translation, omero_complete, levels_agree, ome_xml,
        labels_listed, label_levels_agree, label_count_equals_image, label_no_omero,
        label_dtype_integer, label_source, label_colours_complete, label_values_have_properties,
        label_zero_transparent, label_bounds, label_classes, values_finite_where_tissue,
        values_add_up, values_channels, values_leave_one_out, values_evidence, values_members,
        placement_values, tiff_ome_xml, tiff_levels, tiff_compression, tiff_alpha,
        tiff_physical_size, tiff_levels_agree, value_tiff_form, value_tiff_levels,
        value_tiff_physical_size, value_tiff_channels, placement_image, placement_labels,
        placement_overlay, placement_value_tiff, flat_named, flat_blend, manifest_agrees,
        manifest_form, record_form, record_agrees, record_whole,
        files_complete, hashes, slide_same, slide_pixels, run_complete,
        prediction_table,
    )
}  # fmt: skip
"""Rule → what breaks it, and no other, in a slide's folder of results."""

UNHASHED = {"files-complete", "hashes", "record-whole"}
"""Rules that a rehashed result cannot break."""
