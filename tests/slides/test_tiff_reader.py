"""TIFFs that OpenSlide does not read: pixels, levels and pixel size as other readers have them."""

import re
import struct
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import bioformats
import numpy as np
import odd_slides
import pytest
import pyvips
import tifffile

from heatmaps_ome.errors import DamagedTileError, PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Grid, Window
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.readers import tiff, tiff_segments

RGB = odd_slides.rgb()
SIZE = {"PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25,
        "PhysicalSizeYUnit": "µm"}  # fmt: skip


def pixels_of(slide, level=0):
    shape = slide.level_shapes[level]
    size = YX(*(whole / own for whole, own in zip(slide.shape, shape, strict=True)))
    return slide.read(Grid(shape, size, YX(0, 0), slide.mpp), Window(0, 0, *shape))


def opened(path, mpp=0.5):
    slide = open_slide(path, mpp)
    assert slide.reader == "tifffile"
    return closing(slide)


def refusal(path):
    with pytest.raises(SlideError) as caught:
        open_slide(path, 0.5)
    return str(caught.value)


def pyramid(path, image=RGB, n=2, metadata=None, **options):
    """Write an OME-TIFF with levels in SubIFDs; each is every second pixel of the one above."""
    options = {"photometric": "rgb", "tile": (256, 256), **options}
    planar = options.get("planarconfig") == "separate"
    with tifffile.TiffWriter(path, ome=True, bigtiff=options.pop("bigtiff", False),
                             byteorder=options.pop("byteorder", "<")) as file:  # fmt: skip
        axes = {"axes": "SYX" if planar else "YXS", **(SIZE if metadata is None else metadata)}
        file.write(image, subifds=n, metadata=axes, **options)
        for level in range(1, n + 1):
            step = 2**level
            part = image[..., ::step, ::step] if planar else image[::step, ::step]
            file.write(np.ascontiguousarray(part), subfiletype=1, **options)
    return path


# --- pixels -------------------------------------------------------------------------------------

KINDS = {
    "jpeg": {"compression": "jpeg"},
    "jpeg RGB": {"compression": "jpeg", "compressionargs": {"outcolorspace": "rgb"}},
    "jpeg strips": {"compression": "jpeg", "tile": None, "rowsperstrip": 64},
    "jpeg 4:2:2": {"compression": "jpeg", "subsampling": (2, 1)},
    "jpeg 4:4:4": {"compression": "jpeg", "subsampling": (1, 1)},
    "jpeg 2000": {"compression": "jpeg2000", "compressionargs": {"level": 0}},
    "lzw": {"compression": "lzw", "predictor": True},
    "deflate": {"compression": "deflate", "predictor": True},
    "zstd": {"compression": "zstd"},
    "webp": {"compression": "webp"},
    "lzma": {"compression": "lzma"},
    "packbits": {"compression": "packbits"},
    "none": {},
    "big": {"compression": "lzw", "bigtiff": True, "byteorder": ">"},
    "planar": {"compression": "deflate", "planarconfig": "separate"},
    "planar jpeg": {"compression": "jpeg", "planarconfig": "separate"},
    "one strip": {"compression": "deflate", "tile": None, "rowsperstrip": 600},
    "plain strips": {"tile": None, "byteorder": ">"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_and_levels_are_those_that_tifffile_decodes(tmp_path, kind):
    options = dict(KINDS[kind])
    image = odd_slides.planes(RGB) if options.get("planarconfig") else RGB
    path = pyramid(tmp_path / "a.ome.tif", image, **options)
    with opened(path, None) as slide, tifffile.TiffFile(path) as file:
        levels = file.series[0].levels
        assert slide.level_shapes == tuple(
            (level.sizes["height"], level.sizes["width"]) for level in levels
        )
        assert (slide.mpp, slide.mpp_source) == ((0.25, 0.5), "slide")
        assert slide.mpp_origin == "PhysicalSizeX of the OME-XML"
        for number, level in enumerate(levels):
            expected = level.asarray()
            if expected.shape[0] == 3:
                expected = np.moveaxis(expected, 0, 2)
            assert np.array_equal(pixels_of(slide, number), expected)
        assert slide.pixels == "tifffile"


@pytest.mark.parametrize("compression", ["jpeg", "deflate", "lzw", "none", "webp"])
@pytest.mark.parametrize("subifd", [True, False])
def test_pyramids_of_vips_are_those_that_vips_reads(tmp_path, compression, subifd):
    image = pyvips.Image.new_from_array(RGB).copy(interpretation="srgb")
    text = OME.format(sizes='PhysicalSizeX="0.5" PhysicalSizeY="0.5"', data="")
    image.set_type(pyvips.GValue.gstr_type, "image-description", text)
    path = tmp_path / "a.tif"
    image.tiffsave(
        str(path), tile=True, tile_width=128, tile_height=128, pyramid=True, subifd=subifd,
        compression=compression, bigtiff=True,
    )  # fmt: skip
    with opened(path, None) as slide:
        n = len(slide.level_shapes)
        assert n == 4
        for level in range(n):
            place = (f"subifd={level - 1}" if level else "page=0") if subifd else f"page={level}"
            expected = pyvips.Image.new_from_file(f"{path}[{place}]").numpy()
            assert np.array_equal(pixels_of(slide, level), expected)


class TestBioFormats:
    """Pyramids that Bio-Formats wrote, as bfconvert and QuPath have it do."""

    pytestmark = bioformats.needed

    @pytest.mark.parametrize("form", ["png", "tif"])
    @pytest.mark.parametrize("compression", ["JPEG", "JPEG-2000", "LZW", "Uncompressed"])
    def test_pixels_are_those_that_it_reads(self, tmp_path, form, compression):
        picture = tmp_path / f"a.{form}"
        pyvips.Image.new_from_array(RGB).copy(interpretation="srgb").write_to_file(str(picture))
        path = bioformats.pyramid(picture, tmp_path / "a.ome.tiff", compression=compression)
        with tifffile.TiffFile(path) as file:
            assert file.pages[0].planarconfig == {"png": 1, "tif": 2}[form]
        plain = bioformats.cropped(path, tmp_path / "b.tif", left=0, top=0, cols=900, rows=600)
        with tifffile.TiffFile(plain) as file:
            expected = file.pages[0].asarray()
        if expected.shape[0] == 3:
            expected = np.moveaxis(expected, 0, 2)
        with opened(path) as slide:
            assert slide.level_shapes == ((600, 900), (300, 450))
            read = pixels_of(slide).astype(int)
        # Decoders of JPEG round in different ways.
        assert np.abs(read - expected).max() <= (4 if compression == "JPEG" else 0)
        assert np.abs(read - RGB).mean() < 6


OME = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
    '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="900" SizeY="600" SizeC="3" '
    'SizeZ="1" SizeT="1" {sizes}><Channel ID="Channel:0:0" SamplesPerPixel="3"/>{data}</Pixels>'
    "</Image></OME>"
)


def test_threads_read_the_same_pixels_in_any_order(tmp_path):
    path = pyramid(tmp_path / "a.ome.tif", n=1, compression="deflate", tile=(64, 64))
    windows = [Window(row, col, 60, 90) for row in range(0, 600, 60) for col in range(0, 900, 90)]
    with opened(path) as slide, ThreadPoolExecutor(4) as pool:
        lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
        parts = list(pool.map(lambda window: slide.read(lattice, window), windows[::-1]))
    for window, part in zip(windows[::-1], parts, strict=True):
        assert np.array_equal(part, RGB[window.slices])


def test_alpha_is_laid_on_white(tmp_path):
    alpha = np.linspace(0, 255, RGB.shape[1]).astype(np.uint8)[None].repeat(RGB.shape[0], axis=0)
    image = np.dstack([RGB, alpha])
    path = odd_slides.plain_tiff(tmp_path / "a.tif", image, extrasamples=["unassalpha"], tile=None)
    share = alpha[..., None] / 255.0
    with opened(path) as slide:
        error = pixels_of(slide) - (RGB * share + 255 * (1 - share))
        assert np.abs(error).max() <= 0.5 + 1e-6
    image[..., :3] = np.rint(RGB * share)
    path = odd_slides.plain_tiff(tmp_path / "b.tif", image, extrasamples=["assocalpha"], tile=None)
    with opened(path) as slide:
        assert np.abs(pixels_of(slide) - (image[..., :3] + 255.0 * (1 - share))).max() <= 0.5 + 1e-6


@pytest.mark.parametrize(("bits", "stated"), [(16, False), (12, True), (10, True)])
def test_16_bits_become_8_by_the_stated_rule(tmp_path, bits, stated):
    values = np.random.default_rng(0).integers(0, 2**bits, (300, 400, 3), dtype=np.uint16)
    metadata = {**SIZE, "SignificantBits": bits} if stated else SIZE
    path = pyramid(tmp_path / "a.ome.tif", values, n=0, metadata=metadata, compression="lzw")
    with opened(path) as slide:
        assert np.array_equal(pixels_of(slide), np.floor(values * 255.0 / (2**bits - 1) + 0.5))
        assert f"of which {bits} are used" in slide.notes[0]


def test_palettes_are_read(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (3, 256), dtype=np.uint16)
    index = np.random.default_rng(1).integers(0, 256, (300, 400), dtype=np.uint8)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, index, photometric="palette", colormap=colours * 257, rowsperstrip=50)
    with opened(path) as slide:
        assert np.array_equal(pixels_of(slide), colours.T[index])


def test_planes_named_as_red_green_and_blue_are_joined(tmp_path):
    for names, fits in ((["Red", "Green", "Blue"], True), (["DAPI", "FITC", "Cy3"], False)):
        path = pyramid_of_planes(tmp_path / "a.ome.tif", {"Name": names})
        if fits:
            with opened(path) as slide:
                assert np.array_equal(pixels_of(slide), RGB)
                assert np.array_equal(pixels_of(slide, 1), RGB[::2, ::2])
        else:
            assert "holds 3 separate channels in grey" in refusal(path)


def test_planes_coloured_red_green_and_blue_are_joined_in_that_order_only(tmp_path):
    colours = [-16776961, 16711935, 65535]
    path = pyramid_of_planes(tmp_path / "a.ome.tif", {"Color": colours})
    with opened(path) as slide:
        assert np.array_equal(pixels_of(slide), RGB)
    path = pyramid_of_planes(tmp_path / "b.ome.tif", {"Color": colours[::-1]})
    assert "vips bandjoin" in refusal(path)


def pyramid_of_planes(path, channel):
    options = {"photometric": "minisblack", "tile": (256, 256), "compression": "deflate"}
    planes = odd_slides.planes(RGB)
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(
            planes, subifds=1, metadata={"axes": "CYX", "Channel": channel, **SIZE}, **options
        )
        file.write(np.ascontiguousarray(planes[:, ::2, ::2]), subfiletype=1, **options)
    return path


def test_only_the_strips_under_a_tile_are_decoded(tmp_path, monkeypatch):
    path = odd_slides.plain_tiff(tmp_path / "a.tif", RGB, tile=None, rowsperstrip=50)
    monkeypatch.setattr(tiff, "_CACHED_BYTES", 900 * 50 * 3 * 7)
    decoded = []
    real = tiff_segments.Segments.decode
    monkeypatch.setattr(
        tiff_segments.Segments, "decode",
        lambda *args: decoded.append(args[2].row) or real(*args),
    )  # fmt: skip
    with closing(tiff.TifffileSlide(path)) as slide:
        for row in (0, 256):
            for col in (0, 256, 512, 768):
                tile = Window(row, col, 256, 256)
                assert np.array_equal(slide.read_tile(0, tile), RGB[tile.slices])
        # A row of tiles needs six or seven strips, which the cache holds.
        assert decoded == [0, 50, 100, 150, 200, 250, 300, 350, 400, 450, 500]


# --- pixel size ---------------------------------------------------------------------------------

NO_LENGTH = {
    "PhysicalSizeX": 1, "PhysicalSizeXUnit": "pixel", "PhysicalSizeY": 1,
    "PhysicalSizeYUnit": "pixel",
}  # fmt: skip


@pytest.mark.parametrize(
    ("unit", "size", "um"),
    [("nm", 250, 0.25), ("mm", 0.0005, 0.5), ("µm", 0.3, 0.3), ("Å", 2500, 0.25), (None, 0.4, 0.4)],
)
def test_units_of_ome_xml_are_converted(tmp_path, unit, size, um):
    metadata = {"PhysicalSizeX": size, "PhysicalSizeY": size}
    if unit is not None:
        metadata.update({"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit})
    with opened(pyramid(tmp_path / "a.ome.tif", n=0, metadata=metadata), None) as slide:
        assert slide.mpp == pytest.approx((um, um))


@pytest.mark.parametrize("metadata", [{}, NO_LENGTH])
def test_the_resolution_counts_where_ome_xml_has_no_length(tmp_path, metadata):
    path = pyramid(tmp_path / "a.ome.tif", n=0, metadata=metadata)
    with pytest.raises(PixelSizeError, match=r"give it in µm per pixel with --mpp|give the true"):
        open_slide(path)
    resolution = {"resolution": (20000, 40000), "resolutionunit": "CENTIMETER"}
    path = pyramid(tmp_path / "b.ome.tif", n=0, metadata=metadata, **resolution)
    with opened(path, None) as slide:
        assert (slide.mpp, slide.mpp_origin) == ((0.25, 0.5), "XResolution of the TIFF")


def test_the_unit_of_imagej_is_read(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, RGB, imagej=True, resolution=(4, 4), metadata={"unit": "micron", "axes": "YXS"}
    )
    with opened(path, None) as slide:
        assert (slide.mpp, slide.mpp_origin) == ((0.25, 0.25), "the unit of ImageJ")
        assert slide.format == "ImageJ TIFF"
        assert np.array_equal(pixels_of(slide), RGB)


def test_a_screens_resolution_is_no_pixel_size(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", resolution=(72, 72), resolutionunit="INCH")
    with pytest.raises(PixelSizeError, match="give the true one in µm per pixel with --mpp"):
        open_slide(path)


# --- which image --------------------------------------------------------------------------------


def several(path, *images):
    """Write an OME-TIFF of images, rows of (name, pixels, µm per pixel or None)."""
    with tifffile.TiffWriter(path, ome=True) as file:
        for name, image, mpp in images:
            size = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
            file.write(
                image, photometric="rgb", tile=(128, 128), compression="deflate",
                metadata={"axes": "YXS", "Name": name, **size},
            )  # fmt: skip
    return path


def test_label_and_overview_are_left_out_with_a_note(tmp_path):
    path = several(
        tmp_path / "a.ome.tif", ("label", RGB[:400, :400], None), ("slide", RGB, 0.5),
        ("Macro image", RGB[:500], None), ("tiny", RGB[:99, :99], None),
    )  # fmt: skip
    with opened(path, None) as slide:
        assert np.array_equal(pixels_of(slide), RGB)
        assert slide.level_shapes == ((600, 900),)
        assert "“slide” was read" in slide.notes[0]


def test_levels_that_are_images_of_their_own_are_levels(tmp_path):
    half = np.ascontiguousarray(RGB[::2, ::2])
    path = several(tmp_path / "a.ome.tif", ("a #1", RGB, 0.5), ("a #2", half, 1.0))
    with opened(path, None) as slide:
        assert np.array_equal(pixels_of(slide, 1), half)


def test_several_full_images_are_refused_by_their_names(tmp_path):
    other = np.ascontiguousarray(RGB[:300, :300])
    path = several(tmp_path / "a.ome.tif", ("one", RGB, 0.5), ("two", other, 0.5))
    message = refusal(path)
    assert "holds 2 full images (“one” of 900 × 600 px, “two” of 300 × 300 px)" in message
    assert "bfconvert -series 0 a.ome.tif" in message


@pytest.mark.parametrize(
    ("axes", "words"), [("ZYXS", "3 focal planes"), ("TYXS", "3 points in time")]
)
def test_stacks_are_refused(tmp_path, axes, words):
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as file:
        file.write(np.stack([RGB] * 3), photometric="rgb", tile=(256, 256), metadata={"axes": axes})
    assert f"holds {words}" in refusal(path)
    tifffile.imwrite(tmp_path / "b.tif", np.stack([RGB] * 3), photometric="rgb", metadata=None)
    assert "holds 3 pictures of the same size" in refusal(tmp_path / "b.tif")


def with_xml(path, text):
    tifffile.imwrite(path, RGB, photometric="rgb", tile=(256, 256), metadata=None,
                     description=text.encode())  # fmt: skip
    return path


def test_parts_of_sets_of_files_are_refused_but_renamed_files_are_not(tmp_path):
    head = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'
    only = f'<OME {head}><BinaryOnly MetadataFile="set.companion.ome" UUID="urn:uuid:1"/></OME>'
    assert "whose metadata lies in set.companion.ome" in refusal(with_xml(tmp_path / "a.tif", only))
    data = '<TiffData IFD="0"><UUID FileName="{}">urn:uuid:{}</UUID></TiffData>'
    text = OME.format(sizes="", data=data.format("b.ome.tif", 2)).replace(
        "<OME ", '<OME UUID="urn:uuid:1" '
    )
    assert "of several files, such as b.ome.tif" in refusal(with_xml(tmp_path / "a.tif", text))
    renamed = text.replace("urn:uuid:2", "urn:uuid:1")
    with opened(with_xml(tmp_path / "c.tif", renamed)) as slide:
        assert np.array_equal(pixels_of(slide), RGB)


QPI = (
    '<?xml version="1.0" encoding="utf-8"?><PerkinElmer-QPI-ImageDescription>'
    "<ImageType>{}</ImageType></PerkinElmer-QPI-ImageDescription>"
)


def test_brightfield_qptiffs_have_their_levels_but_no_thumbnail(tmp_path):
    path = tmp_path / "a.qptiff"
    half = np.ascontiguousarray(RGB[::2, ::2])
    pages = [(RGB, "FullResolution", (256, 256)), (RGB[::4, ::4], "Thumbnail", None),
             (half, "ReducedResolution", (256, 256)), (RGB[:300, :100], "Label", None)]  # fmt: skip
    per_cm = {"resolution": (20000, 20000), "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as file:
        for image, kind, tile in pages:
            file.write(np.ascontiguousarray(image), photometric="rgb", tile=tile, metadata=None,
                       description=QPI.format(kind), **per_cm)  # fmt: skip
    with opened(path, None) as slide:
        assert (slide.format, slide.level_shapes) == ("QPTIFF", ((600, 900), (300, 450)))
        assert np.array_equal(pixels_of(slide, 1), half)
        assert slide.mpp == pytest.approx((0.5, 0.5))
    with tifffile.TiffWriter(path) as file:
        for _ in range(4):
            file.write(RGB[..., 0].copy(), photometric="minisblack", metadata=None,
                       description=QPI.format("FullResolution"))  # fmt: skip
    assert "holds 4 separate channels in grey" in refusal(path)


# --- damage -------------------------------------------------------------------------------------


def test_a_damaged_tile_has_its_place_and_can_be_left_blank(tmp_path):
    path = pyramid(tmp_path / "a.ome.tif", n=0, compression="jpeg", tile=(128, 128))
    odd_slides.spoil_tiles(path, 9)
    with opened(path) as slide, pytest.raises(DamagedTileError, match=r"\(y 128, x 128\).*blank$"):
        pixels_of(slide)
    with closing(open_slide(path, 0.5, bad_tiles="blank")) as slide:
        assert (pixels_of(slide)[128:256, 128:256] == 255).all()
        assert slide.bad_tiles.record()["count"] == 1


def test_damage_within_a_jpeg_is_met(tmp_path):
    pytest.importorskip("simplejpeg")
    path = pyramid(tmp_path / "a.ome.tif", n=0, compression="jpeg", tile=(128, 128))
    with tifffile.TiffFile(path) as file:
        begin, size = file.pages[0].dataoffsets[9], file.pages[0].databytecounts[9]
    content = bytearray(path.read_bytes())
    content[begin + size // 2 : begin + size - 2] = bytes(size - 2 - size // 2)
    path.write_bytes(content)
    with opened(path) as slide, pytest.raises(DamagedTileError, match=r"\(y 128, x 128\)"):
        pixels_of(slide)


def test_tiles_that_claim_other_sizes_are_damaged_and_take_no_memory(tmp_path):
    path = pyramid(tmp_path / "a.ome.tif", n=0, compression="jpeg", tile=(128, 128))
    content = bytearray(path.read_bytes())
    for found in re.finditer(rb"\xff\xc0..\x08", bytes(content), re.S):
        struct.pack_into(">HH", content, found.start() + 5, 65000, 65000)
    path.write_bytes(content)
    with opened(path) as slide, pytest.raises(DamagedTileError):
        pixels_of(slide)


@pytest.mark.parametrize("tile", [(256, 256), None])
def test_a_cut_file_is_refused_at_once_with_the_place(tmp_path, tile):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path,
        RGB,
        photometric="rgb",
        tile=tile,
        compression="zstd",
        rowsperstrip=None if tile else 40,
    )
    path.write_bytes(path.read_bytes()[:-5000])
    assert "is cut off or damaged (it should go on at byte" in refusal(path)


def test_tiles_that_were_left_out_are_white(tmp_path):
    path = pyramid(tmp_path / "a.ome.tif", n=0, compression="deflate", tile=(128, 128))
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag in (324, 325):
            values = list(file.pages[0].tags[tag].value)
            values[9] = 0
            file.pages[0].tags[tag].overwrite(values)
    expected = RGB.copy()
    expected[128:256, 128:256] = 255
    with opened(path) as slide:
        assert np.array_equal(pixels_of(slide), expected)


def test_a_file_that_is_replaced_while_it_is_read_is_no_damaged_tile(tmp_path):
    path = pyramid(tmp_path / "a.ome.tif", n=0, compression="jpeg", tile=(128, 128))
    with opened(path) as slide:
        path.write_bytes(bytes(path.stat().st_size + 1))
        with pytest.raises(SlideError, match="was replaced by another slide") as caught:
            pixels_of(slide)
        assert not isinstance(caught.value, DamagedTileError)


def test_compressed_strips_that_are_too_large_are_refused(tmp_path):
    path = odd_slides.plain_tiff(tmp_path / "a.tif", RGB, tile=None, rowsperstrip=600)
    for tag, value in ((odd_slides.WIDTH, 40000), (odd_slides.LENGTH, 20000), (278, 20000)):
        odd_slides.with_field(path, tag, value)
    assert "is compressed in strips of 40000 × 20000 pixels" in (message := refusal(path))
    assert "vips tiffsave a.tif slide.tif --tile --pyramid" in message


@pytest.mark.parametrize(
    ("image", "options", "words"),
    [
        (np.zeros((300, 400, 3), np.float32), {}, "signed or floating-point numbers of 32 bits"),
        (np.zeros((300, 400, 4), np.uint8), {"photometric": "separated"}, "separated inks"),
        (np.zeros((300, 400), np.uint8), {"photometric": "minisblack"}, "one channel in grey"),
    ],
)  # fmt: skip
def test_other_colours_are_refused(tmp_path, image, options, words):
    tifffile.imwrite(tmp_path / "a.tif", image, **{"photometric": "rgb", **options})
    assert words in refusal(tmp_path / "a.tif")


@pytest.mark.parametrize("value", [0, 0x7FFFFFF0, 0xFFFFFFFF])
@pytest.mark.parametrize("tag", [odd_slides.WIDTH, odd_slides.LENGTH, 277, 278, 279, 273, 330])
def test_absurd_numbers_are_refused_or_change_nothing(tmp_path, tag, value):
    path = odd_slides.plain_tiff(tmp_path / "a.tif", RGB, tile=None, rowsperstrip=100)
    odd_slides.with_field(path, tag, value)
    try:
        slide = open_slide(path, 0.5)
    except SlideError:
        return
    with closing(slide):
        assert np.array_equal(pixels_of(slide), RGB)
