"""Plain pictures as regions of slides, against Pillow's own decoding."""

import io
import threading
from contextlib import closing

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps
from slide_files import speckled

from heatmaps_ome.errors import PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Grid, Window
from heatmaps_ome.run.slide_paths import slides_named
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.readers import picture

RGB = speckled(301, 437)


def saved(path, values=RGB, **settings):
    Image.fromarray(values).save(path, **settings)
    return path


def read(path):
    with closing(open_slide(path, 0.5)) as slide:
        return slide._file.read_tile(0, Window(0, 0, *slide.shape))


def by_pillow(path):
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def refusal(path):
    with pytest.raises(SlideError) as error:
        read(path)
    assert str(error.value).isprintable()
    return str(error.value)


@pytest.mark.parametrize(
    ("ending", "kind", "settings"),
    [
        ("png", "PNG", {}),
        ("bmp", "BMP", {}),
        ("webp", "WebP", {"lossless": True}),
        ("jp2", "JPEG 2000", {}),
        ("jpg", "JPEG", {"quality": 90}),
        ("jpeg", "JPEG", {"quality": 90, "progressive": True, "subsampling": 0}),
    ],
)
def test_a_picture_is_a_slide_of_one_level(tmp_path, ending, kind, settings):
    path = saved(tmp_path / f"a [1].{ending}", **settings)
    with closing(open_slide(path, 0.25)) as slide:
        assert (slide.reader, slide.format, slide.name) == ("picture", f"{kind} picture", "a [1]")
        assert (slide.level_shapes, slide.mpp, slide.own_mpp) == (((301, 437),), (0.25,) * 2, None)
        lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
        pixels = slide.read(lattice, Window(0, 0, *slide.shape))
    assert np.array_equal(pixels, by_pillow(path))


def test_dots_per_inch_are_no_pixel_size(tmp_path):
    for path in (
        saved(tmp_path / "a.png", dpi=(72, 72)),
        saved(tmp_path / "a.jpg", dpi=(50800,) * 2),
    ):
        with pytest.raises(PixelSizeError, match=r"dots per inch .* print\); give it .* --mpp"):
            open_slide(path)


def test_a_palette_becomes_rgb(tmp_path):
    image = Image.fromarray(RGB).quantize(32)
    for path in (tmp_path / "a.png", tmp_path / "a.gif", tmp_path / "a.bmp"):
        image.save(path)
        assert np.array_equal(read(path), np.asarray(image.convert("RGB")))


def test_transparent_pixels_lie_on_white(tmp_path):
    alpha = np.linspace(0, 255, RGB.shape[1]).astype(np.uint8) * np.ones(
        (RGB.shape[0], 1), np.uint8
    )
    path = saved(tmp_path / "a.png", np.dstack([RGB, alpha]))
    expected = RGB * (alpha[..., None] / 255) + 255 * (1 - alpha[..., None] / 255)
    assert np.abs(read(path) - expected).max() <= 1
    with closing(open_slide(path, 0.5)) as slide:
        assert slide.notes == ("transparent pixels were laid on white",)


def test_16_bits_are_divided_by_257(tmp_path):
    import pyvips

    deep = RGB.astype(np.uint16) * 257
    image = pyvips.Image.new_from_array(deep).copy(interpretation="rgb16")
    image.pngsave(str(tmp_path / "a.png"), bitdepth=16)
    assert np.array_equal(read(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_its_exif_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.jpg", exif=exif, subsampling=0)
    assert np.array_equal(read(path), by_pillow(path))


def test_jpegs_of_adobes_colours_are_read_rightly(tmp_path):
    path = saved(tmp_path / "rgb.jpg", keep_rgb=True, quality=95)
    assert np.array_equal(read(path), by_pillow(path))
    flat = np.full((64, 64, 3), (200, 40, 120), np.uint8)
    Image.fromarray(flat).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100)
    pixels = read(tmp_path / "cmyk.jpg").astype(int)
    # A profile of print dulls colours; inverted ones would be far off.
    assert np.abs(pixels - flat).max() < 90
    assert (pixels[..., 0] > pixels[..., 2]).all()
    assert (pixels[..., 2] > pixels[..., 1]).all()


def test_the_profile_is_a_fact(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for ending in ("png", "jpg"):
        with closing(
            open_slide(saved(tmp_path / f"a.{ending}", icc_profile=profile), 0.5)
        ) as slide:
            assert slide.icc_profile == profile
    with closing(open_slide(saved(tmp_path / "b.png"), 0.5)) as slide:
        assert slide.icc_profile is None


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp", "jp2"])
def test_cut_pictures_are_one_sentence(tmp_path, ending):
    path = saved(tmp_path / f"a.{ending}")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "cannot be decoded" in refusal(path)
    path.write_bytes(content[:30])
    assert "cannot be decoded" in refusal(path)


def test_grey_and_animated_pictures_are_refused(tmp_path):
    for ending in ("png", "jpg", "bmp"):
        assert "picture in grey" in refusal(saved(tmp_path / f"a.{ending}", RGB[..., 0]))
    frames = [Image.fromarray(np.roll(RGB, n, 0)) for n in range(3)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert "holds 3 pictures" in refusal(tmp_path / "a.gif")


def test_a_picture_that_is_too_large_is_refused_with_a_command(tmp_path, monkeypatch):
    monkeypatch.setattr(picture, "_MOST_PX", 1000)
    monkeypatch.setattr(picture, "_MOST_IN_MEMORY_PX", 1000)
    for ending in ("png", "bmp"):
        message = refusal(saved(tmp_path / f"a.{ending}"))
        assert f"vips tiffsave a.{ending} slide.tif --tile --pyramid" in message


def test_a_bomb_is_refused_by_its_head(tmp_path):
    head = io.BytesIO()
    Image.new("RGB", (1, 1)).save(head, "PNG")
    content = bytearray(head.getvalue())
    content[16:24] = (200_000).to_bytes(4, "big") * 2
    import zlib

    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(content)
    assert "a picture of 200000 × 200000 pixels" in refusal(tmp_path / "a.png")


def test_several_threads_decode_a_picture_once(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png")
    calls = []
    real = picture.PictureFile._decoded
    monkeypatch.setattr(picture.PictureFile, "_decoded", lambda self: calls.append(1) or real(self))
    results = {}
    with closing(open_slide(path, 0.5)) as slide:

        def work(n):
            results[n] = slide._file.read_tile(0, Window(0, 64 * (n % 4), 64, 64))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert calls == [1]
    for n, pixels in results.items():
        assert np.array_equal(pixels, RGB[:64, 64 * (n % 4) :][:, :64])


def test_pictures_in_a_folder_of_slides_are_no_slides_unless_they_are_named(tmp_path):
    path = saved(tmp_path / "a.png")
    with pytest.raises(SlideError, match="is a folder without slides of its own"):
        slides_named(tmp_path)
    assert slides_named(tmp_path / "*.png") == [path]
    assert slides_named(path) == [path]
