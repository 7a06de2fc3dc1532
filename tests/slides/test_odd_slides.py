"""Each odd slide is read rightly, or refused in a sentence with its case and a remedy."""

import os
import re
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import odd_slides
import pytest
import pyvips
from slide_files import write_slide

from heatmaps_ome.errors import PixelSizeError, SlideError
from heatmaps_ome.geometry import YX, Grid, Shape, Window
from heatmaps_ome.run.slide_paths import slides_named
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.paths import files_of, name_of, printable, slide_identity
from heatmaps_ome.slides.readers import probing


def pixels_of(slide):
    lattice = Grid(slide.shape, YX(1, 1), YX(0, 0), slide.mpp)
    return slide.read(lattice, Window(0, 0, *slide.shape))


def refusal(path):
    with pytest.raises(SlideError) as caught:
        open_slide(path, 0.5)
    message = str(caught.value)
    assert message.startswith(printable(path))
    message.encode("utf-8")
    assert message.isprintable()
    return message


@pytest.fixture
def slide(tmp_path):
    return write_slide(tmp_path / "slide.svs", odd_slides.rgb())


# --- Paths that are no readable file ------------------------------------------------------------


def test_what_is_no_regular_file_is_refused_unopened(tmp_path):
    os.mkfifo(tmp_path / "pipe.svs")
    assert "is a named pipe" in refusal(tmp_path / "pipe.svs")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.fspath(tmp_path / "s"))
        assert "is a socket" in refusal(tmp_path / "s")
    assert "is a device" in refusal(Path("/dev/zero"))
    (tmp_path / "link.svs").symlink_to("/dev/zero")
    assert "is a device" in refusal(tmp_path / "link.svs")


def test_links_that_lead_nowhere_are_refused(tmp_path):
    (tmp_path / "a.svs").symlink_to(tmp_path / "b.svs")
    assert "is a link to a file that does not exist" in refusal(tmp_path / "a.svs")
    (tmp_path / "b.svs").symlink_to(tmp_path / "a.svs")
    assert "is a link that leads back to itself" in refusal(tmp_path / "a.svs")


def test_names_that_no_file_has_are_refused(tmp_path, slide):
    assert "contains a NUL character" in refusal(tmp_path / "a\0b.svs")
    assert "a name of this length" in refusal(tmp_path / f"{'a' * 300}.svs")
    assert "is a file, not a folder" in refusal(slide / "b.svs")
    assert "there is no such slide" in refusal(tmp_path / "missing.svs")


def test_what_may_not_be_read_is_refused(tmp_path, slide, monkeypatch):
    def forbidden(path, *_):
        raise PermissionError(13, "Permission denied", path)

    # The superuser may read everything.
    monkeypatch.setattr(Path, "open", forbidden)
    assert "may not be read (permission denied)" in refusal(slide)


def test_a_name_that_is_not_utf8_is_read(tmp_path, slide):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin1-\xe9.svs"))
    shutil.copy(slide, path)
    with closing(open_slide(path, 0.25)) as opened:
        assert (pixels_of(opened) == odd_slides.rgb()).all()
        assert opened.mpp_warning.startswith(r"latin1-\xe9.svs: ")
    path.write_bytes(b"")
    assert r"latin1-\xe9.svs is empty" in refusal(path)


# --- Folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ([], "is an empty folder"),
        (["notes.txt"], "is a folder without a slide in it"),
        (["a.svs", "b.ndpi", "c.txt"], "is a folder with 2 slides in it"),
        (["run.json", "a.svs"], "is a folder of results of heatmaps-ome"),
        (["provenance.json"], "is a folder of results of heatmaps-ome"),
        ([".zattrs"], "is a zarr folder without an OME-Zarr image"),
        (["zarr.json"], "is a zarr folder without an OME-Zarr image"),
        (["Slidedat.ini", "Data0000.dat"], "is the data folder of a MIRAX slide; give here.mrxs"),
    ],
)  # fmt: skip
def test_a_folder_is_refused_as_what_it_holds(tmp_path, names, reason):
    folder = tmp_path / "here"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("{}")
    assert reason in refusal(folder)


def test_slides_without_their_data_are_refused(tmp_path, shared_data):
    shutil.copy(shared_data / "slides" / "mirax-cmu-bounds.mrxs", tmp_path / "a.mrxs")
    assert "is a MIRAX slide without its data: the folder a with" in refusal(tmp_path / "a.mrxs")
    vms = "[Virtual Microscope Specimen]\nImageFile=a.jpg\nImageFile(1,0)=b.jpg\n"
    (tmp_path / "a.vms").write_text(vms)
    (tmp_path / "a.jpg").write_bytes(b"1")
    assert "without its data: it names b.jpg" in refusal(tmp_path / "a.vms")


# --- DICOM --------------------------------------------------------------------------------------


@pytest.fixture
def dicom(shared_data, tmp_path):
    return Path(shutil.copytree(shared_data / "found" / "dicom-case", tmp_path / "case.1"))


def test_a_dicom_folder_and_any_file_of_it_are_one_slide(dicom):
    files = sorted(dicom.iterdir())
    assert len(files) == 4
    with closing(open_slide(dicom)) as slide:
        expected, print_ = pixels_of(slide), slide.fingerprint()
        assert (slide.name, slide.mpp) == ("case.1", (0.499, 0.499))
    for file in files:
        with closing(open_slide(file)) as slide:
            assert slide.fingerprint() == print_
            assert (pixels_of(slide) == expected).all()
        assert slide_identity(file) == slide_identity(dicom)
        assert files_of(file) == files_of(dicom)


def test_a_dicom_slide_without_its_finest_level_has_a_note(dicom):
    with closing(open_slide(dicom)) as slide:
        assert (slide.shape, slide.notes) == ((1507, 1301), ())
    max(dicom.iterdir(), key=lambda file: file.stat().st_size).unlink()
    with closing(open_slide(dicom)) as slide:
        assert slide.shape == (376, 325)
        (note,) = slide.notes
    assert "the file of the finest level is missing" in note


def test_every_file_of_a_dicom_slide_counts_but_no_name_does(dicom):
    with closing(open_slide(dicom)) as slide:
        before = slide.fingerprint()
    for number, file in enumerate(sorted(dicom.iterdir(), reverse=True)):
        file.rename(dicom / f"{number}")
    (dicom / "report.txt").write_text("no slide")
    with closing(open_slide(dicom)) as slide:
        assert slide.fingerprint() == before
    smallest = min(dicom.glob("[0-9]"), key=lambda file: file.stat().st_size)
    with smallest.open("ab") as file:
        file.write(bytes(2))
    with closing(open_slide(dicom)) as slide:
        assert slide.fingerprint() != before


def test_a_folder_of_two_dicom_slides_is_refused(dicom):
    for file in list(dicom.iterdir()):
        content = file.read_bytes()
        series = b"1.2.826.0.1.3680043.8.498.75785348989426434500722755029081839211"
        assert series in content
        (dicom / f"other-{file.name}").write_bytes(content.replace(series, series[:-1] + b"2"))
    assert "is a folder with 2 slides in it" in refusal(dicom)
    assert len(files_of(next(dicom.glob("other-*")))) == 4


SERIES = b"1.2.826.0.1.3680043.8.498.75785348989426434500722755029081839211"


def another_series(folder, target, series=b"2", container=None):
    """Copy the files of a DICOM slide, as of another series, with the name of its glass."""
    target.mkdir(exist_ok=True, parents=True)
    for number, file in enumerate(sorted(folder.iterdir())):
        content = file.read_bytes()
        assert SERIES in content
        content = content.replace(SERIES, SERIES[: -len(series)] + series)
        if container is not None:
            assert len(container) == 8
            element = b"\x40\0\x12\5LO\x08\0"
            assert element + b"Unknown " in content
            content = content.replace(element + b"Unknown ", element + container)
        (target / f"{series.decode()}-{number}").write_bytes(content)
    return target


def test_a_dicom_slide_is_called_by_its_container(dicom, tmp_path):
    assert name_of(dicom) == "case.1"
    glass = another_series(dicom, tmp_path / "export", container=b"S22-1 B4")
    assert {name_of(path) for path in (glass, *glass.iterdir())} == {"S22-1 B4"}
    with closing(open_slide(glass)) as slide:
        assert slide.name == "S22-1 B4"


def test_several_series_in_a_folder_are_several_slides_with_names_of_their_own(dicom, tmp_path):
    folder = tmp_path / "export"
    for series, container in ((b"2", b"S22-1 B4"), (b"3", b"S22-1 B4"), (b"4", b"S22-1 B5")):
        another_series(dicom, folder, series, container)
    slides = slides_named(folder)
    assert len(slides) == 3
    assert len({slide_identity(path) for path in slides}) == 3
    assert [name_of(path) for path in slides] == [
        "S22-1 B4-81839212", "S22-1 B4-81839213", "S22-1 B5",
    ]  # fmt: skip
    assert [len(files_of(path)) for path in slides] == [4, 4, 4]
    assert "is a folder with 3 slides in it" in refusal(folder)


def test_folders_of_dicom_slides_below_a_folder_are_slides(dicom, tmp_path):
    study = tmp_path / "study"
    first, second = another_series(dicom, study / "a"), another_series(dicom, study / "b", b"3")
    assert slides_named(study) == [first, second]
    assert slides_named(first) == [first]
    assert [path.parent for path in slides_named(tmp_path / "study" / "..")] != []
    shutil.copy(odd_slides.jpeg_slide(tmp_path / "x.tif"), study / "x.tif")
    assert slides_named(study) == [first, second, study / "x.tif"]
    another_series(dicom, study / "b", b"4")
    assert len(slides_named(study)) == 4


def test_a_dicom_slide_in_a_tree_of_an_archive_is_one_slide(dicom, tmp_path):
    tree = tmp_path / "DICOM"
    for number, file in enumerate(sorted(dicom.iterdir())):
        place = tree / "PAT00001" / f"IM{number}"
        place.mkdir(parents=True)
        shutil.copy(file, place / "00000001")
    with closing(open_slide(dicom)) as slide:
        expected, print_ = pixels_of(slide), slide.fingerprint()
    for folder in (tree, tree / "PAT00001"):
        assert slides_named(folder) == [folder]
        with closing(open_slide(folder)) as slide:
            assert slide.fingerprint() == print_
            assert (pixels_of(slide) == expected).all()
    another_series(dicom, tree / "PAT00001" / "b", b"3")
    with pytest.raises(SlideError, match="lie in several of its folders, among other slides"):
        slides_named(tree / "PAT00001")


def test_a_damaged_dicom_slide_is_one_sentence(dicom):
    largest = max(dicom.iterdir(), key=lambda file: file.stat().st_size)
    content = largest.read_bytes()
    largest.write_bytes(content[: len(content) // 2])
    # The place of the damage, or that the file ends too early.
    try:
        with closing(open_slide(dicom)) as slide, pytest.raises(SlideError) as error:
            pixels_of(slide)
        message = str(error.value)
    except SlideError as refused:
        message = str(refused)
    assert re.search("copy it again|copy complete", message)
    assert "\n" not in message
    largest.unlink()
    assert "\n" not in (refusal(dicom) if not opens(dicom) else "")


def opens(path):
    try:
        open_slide(path).close()
    except SlideError:
        return False
    return True


def test_a_mirax_slide_has_the_files_of_its_folder(shared_data, tmp_path):
    path = shared_data / "slides" / "mirax-cmu-bounds.mrxs"
    ini = path.with_suffix("") / "Slidedat.ini"
    assert set(files_of(path)) > {ini, path}
    (tmp_path / "link.mrxs").symlink_to(path)
    (tmp_path / "link").symlink_to(path.with_suffix(""))
    assert slide_identity(tmp_path / "link.mrxs") == slide_identity(path)


# --- Kinds of files -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.czi", b"ZISRAWFILE\0", r"cannot be opened as a slide \(.*\); is the copy complete\?"),
        ("a.isyntax", b"<data", "ends in .isyntax, but does not begin like Philips iSyntax"),
        ("a.kfb", b"KFB", "is a KFBio slide in a format that is not read; convert it"),
        ("a.svs", b"PK\3\4", "is a ZIP archive; unpack it"),
        ("a.svs", b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        ("a.svs", b"version https://git-lfs.github.com/spec/v1\n", "fetch it with: git lfs pull"),
        ("a.svs", b"\n<!doctype html>", "is a web page"),
        ("a.svs", bytes(5000), "nothing but zeros"),
    ],
)  # fmt: skip
def test_other_files_are_called_by_their_names(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    assert re.search(reason, refusal(tmp_path / name))


def converted(path):
    """Return the slide that the command in the messages makes."""
    out = path.parent / "slide.tif"
    pyvips.Image.new_from_file(str(path)).tiffsave(
        str(out), tile=True, pyramid=True, compression="jpeg", Q=90
    )
    return open_slide(out, 0.5)


def test_an_unknown_compression_is_named(tmp_path):
    path = odd_slides.plain_tiff(tmp_path / "a.tif", odd_slides.rgb())
    assert "compressed with JPEG XL (number 50002), which is not read; convert it" in refusal(
        odd_slides.with_field(path, 259, 50002)
    )


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_cut_ome_tiff_is_refused_with_the_missing_place(tmp_path, share):
    path = odd_slides.with_subifds(tmp_path / "a.ome.tif")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "is a TIFF that is cut off or damaged (it should go on at byte" in refusal(path)


def test_a_cut_tiff_is_refused_with_the_missing_place(tmp_path, slide):
    content = slide.read_bytes()
    slide.write_bytes(content[: len(content) // 2])
    assert "is a TIFF that is cut off or damaged" in refusal(slide)


@pytest.mark.parametrize("n_channels", [1, 2, 3, 5])
def test_separate_channels_are_refused(tmp_path, n_channels):
    image = np.stack([odd_slides.rgb()[..., 1]] * n_channels)
    path = odd_slides.ome_tiff(tmp_path / "a.ome.tif", image, "CYX", photometric="minisblack")
    channels = "one channel" if n_channels == 1 else f"{n_channels} separate channels"
    assert f"holds {channels} in grey" in refusal(path)
    image = np.ascontiguousarray(np.moveaxis(image, 0, 2))
    if n_channels > 2:
        path = odd_slides.plain_tiff(
            tmp_path / "b.tif", image, photometric="minisblack", planarconfig="contig"
        )
        assert f"holds {n_channels} separate channels in grey" in refusal(path)


@pytest.mark.parametrize("settings", [{}, {"compression": "jpeg"}, {"tile": None}])
@pytest.mark.parametrize("name", ["a.tif", "a.ome.tif"])
def test_one_grey_channel_is_refused_alike_with_a_command_that_works(tmp_path, name, settings):
    grey = odd_slides.rgb()[..., 1].copy()
    write = odd_slides.ome_tiff if "ome" in name else odd_slides.plain_tiff
    args = (grey, "YX") if "ome" in name else (grey,)
    path = write(tmp_path / name, *args, photometric="minisblack", **settings)
    message = refusal(path)
    assert "holds one channel in grey, as fluorescence is stored, not an RGB image; " in message
    command = re.search(r'vips colourspace "(.*)" "slide\.tif\[(.*)\]" srgb', message)
    assert command[1] == name
    image = pyvips.Image.new_from_file(str(path)).colourspace("srgb")
    image.write_to_file(f"{tmp_path / 'slide.tif'}[{command[2]}]")
    with closing(open_slide(tmp_path / "slide.tif", 0.5)) as slide:
        pixels = pixels_of(slide).astype(int)
    assert pixels.shape == (*odd_slides.SHAPE, 3)
    assert np.abs(pixels - grey[..., None]).mean() < 5


def test_three_planes_are_refused_with_commands_that_join_them(tmp_path):
    path = odd_slides.ome_tiff(
        tmp_path / "a.ome.tif", odd_slides.planes(odd_slides.rgb()), "CYX",
        photometric="minisblack",
    )  # fmt: skip
    message = refusal(path)
    assert 'vips bandjoin "a.ome.tif[page=0] a.ome.tif[page=1] a.ome.tif[page=2]"' in message
    pages = [pyvips.Image.new_from_file(f"{path}[page={page}]") for page in range(3)]
    joined = pages[0].bandjoin(pages[1:]).copy(interpretation="srgb")
    joined.write_to_file(f"{tmp_path / 'slide.tif'}[tile,pyramid,compression=jpeg]")
    with closing(open_slide(tmp_path / "slide.tif", 0.5)) as slide:
        assert np.abs(pixels_of(slide).astype(int) - odd_slides.rgb()).mean() < 12


def test_planes_of_an_rgb_image_and_16_bits_are_read_rightly(tmp_path):
    planar = odd_slides.plain_tiff(
        tmp_path / "a.tif", odd_slides.planes(odd_slides.rgb()), planarconfig="separate"
    )
    deep = odd_slides.plain_tiff(tmp_path / "b.tif", odd_slides.rgb().astype(np.uint16) * 257)
    for path in (planar, deep):
        with closing(open_slide(path)) as slide:
            assert (pixels_of(slide) == odd_slides.rgb()).all()
            assert slide.mpp == pytest.approx((0.5, 0.5))


def test_the_pixel_size_of_an_ome_tiff_comes_from_its_xml(tmp_path):
    path = odd_slides.with_subifds(tmp_path / "a.ome.tif")
    with closing(open_slide(path)) as slide:
        assert (slide.mpp, slide.mpp_source) == ((0.5, 0.5), "slide")
        assert (pixels_of(slide) == odd_slides.rgb()).all()


@pytest.mark.parametrize(
    ("unit", "size", "um"), [("nm", 250, 0.25), ("mm", "5e-4", 0.5), ("pixel", 1, None)]
)
def test_units_of_ome_xml_are_converted(tmp_path, unit, size, um):
    path = odd_slides.ome_tiff(tmp_path / "a.ome.tif", odd_slides.rgb())
    content = path.read_bytes()
    old = 'PhysicalSizeX="0.5" PhysicalSizeXUnit="µm" PhysicalSizeY="0.5" PhysicalSizeYUnit="µm"'
    new = " ".join(f'PhysicalSize{a}="{size}" PhysicalSize{a}Unit="{unit}"' for a in "XY")
    assert old.encode() in content
    path.write_bytes(content.replace(old.encode(), new.encode().ljust(len(old.encode()))))
    if um is None:
        with pytest.raises(PixelSizeError, match="says nothing of its pixel size"):
            open_slide(path)
        return
    with closing(open_slide(path)) as slide:
        assert slide.mpp == pytest.approx((um, um))


# --- Absurd claims ------------------------------------------------------------------------------

ABSURD = (0, 0x7FFFFFF0, 0xFFFFFFFF, 1 << 24)


@pytest.mark.parametrize("value", ABSURD)
@pytest.mark.parametrize(
    "tag", [odd_slides.TILE_WIDTH, odd_slides.TILE_LENGTH, odd_slides.WIDTH, odd_slides.LENGTH]
)
def test_absurd_sizes_are_refused_before_memory_is_asked_for(tmp_path, tag, value):
    path = odd_slides.jpeg_slide(tmp_path / "a.tif")
    reason = refusal(odd_slides.with_field(path, tag, value))
    assert "copy it again" in reason or "is the copy complete" in reason


def test_tiles_longer_than_their_file_are_refused(tmp_path):
    path = odd_slides.plain_tiff(tmp_path / "a.tif", odd_slides.rgb()[:200, :200])
    reason = refusal(odd_slides.with_field(path, odd_slides.TILE_BYTES, 0xFFFFFFF0))
    assert "a tile of 4294967280 bytes" in reason


def test_levels_of_other_proportions_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    with odd_slides.tifffile.TiffWriter(path) as file:
        for level, cols in enumerate((900, 64)):
            image = np.ascontiguousarray(odd_slides.rgb()[:, :cols])
            file.write(image, photometric="rgb", tile=(256, 256), subfiletype=level)
    assert "at level 0 but 64 × 600 at level 1" in refusal(path)


def damaged_mirax(shared_data, folder, key, value):
    """Return a MIRAX slide with another value of a key of Slidedat.ini."""
    source = shared_data / "slides" / "mirax-cmu-bounds.mrxs"
    path = Path(shutil.copy(source, folder / "a.mrxs"))
    ini = Path(shutil.copytree(source.with_suffix(""), folder / "a")) / "Slidedat.ini"
    lines = ini.read_bytes().split(b"\r\n")
    places = [n for n, line in enumerate(lines) if line.startswith(key.encode() + b" ")]
    assert places
    lines[places[0]] = f"{key} = {value}".encode()
    ini.write_bytes(b"\r\n".join(lines))
    return path


def test_a_slide_that_crashes_openslide_crashes_a_trial_only(shared_data, tmp_path):
    path = damaged_mirax(shared_data, tmp_path, "HIER_0_COUNT", 2**31 - 1)
    assert "makes OpenSlide crash" in refusal(path)


def test_a_slide_that_keeps_openslide_busy_is_given_up(shared_data, tmp_path, monkeypatch):
    # Some damage has OpenSlide count to 2^63; here a program that sleeps stands for it.
    (tmp_path / "busy.py").write_text("import time\n\ntime.sleep(60)\n")
    monkeypatch.setattr(probing, "_PROGRAM", tmp_path / "busy.py")
    monkeypatch.setattr(probing, "_LONGEST_S", 0.5)
    path = damaged_mirax(shared_data, tmp_path, "OVERLAP_X", "nan")
    assert "keeps OpenSlide busy for more than 0.5 s" in refusal(path)


def test_the_trial_is_of_sound_slides_too_and_once_only(shared_data, monkeypatch):
    calls = []
    real = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda *args, **named: calls.append(args) or real(*args, **named)
    )
    probing._outcome.cache_clear()
    for _ in range(2):
        open_slide(shared_data / "slides" / "mirax-cmu-bounds.mrxs").close()
    assert len(calls) == 1
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    probing._outcome.cache_clear()
    open_slide(shared_data / "slides" / "mirax-cmu-bounds.mrxs").close()


def test_bounds_beyond_the_slide_are_cut_to_it():
    from heatmaps_ome.slides.sizes import within_slide

    shape = Shape(100, 200)
    assert within_slide(Window(-50, 10, 100, 1000), shape) == Window(0, 10, 50, 190)
    for nothing in (Window(0, 0, 0, 0), Window(500, 0, 10, 10), Window(0, 0, -5, -5)):
        assert within_slide(nothing, shape) == Window(0, 0, 100, 200)
