"""The slides of a run: named, in folders, by pattern, in lists of any program, and in a table."""

import logging
import os
import re
import threading
from pathlib import Path

import pytest

from heatmaps_ome.errors import OptionError
from heatmaps_ome.run import list_text
from heatmaps_ome.run.inputs import SlideList
from heatmaps_ome.run.slide_list import slide_rows
from heatmaps_ome.run.slide_row import SlideRow


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of slides, which need not be readable to be listed, as the current folder."""
    cohort = tmp_path / "cohort"
    monkeypatch.chdir(tmp_path)
    for name in ("b.svs", "a.SVS", "c [1].tif", "notes.txt", ".hidden.svs", "deep/d.ndpi"):
        (cohort / name).parent.mkdir(exist_ok=True, parents=True)
        (cohort / name).write_bytes(b"II*\0")
    return cohort


def rows(*paths, from_file=None, table=None):
    return slide_rows(SlideList(tuple(map(Path, paths)), from_file, table))


def names(*paths, **more):
    found = rows(*paths, **more)
    assert {row.problem for row in found} == {""}
    return [row.path.name for row in found]


def listed(tmp_path, data):
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    return rows(from_file=path)


def tabled(folder, data):
    path = folder / "cohort.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return rows(table=path)


def refused(folder, data):
    with pytest.raises(OptionError) as caught:
        tabled(folder, data)
    return str(caught.value)


def problem(folder, row, header="slide,name,mpp,label,AGE"):
    (only,) = tabled(folder, f"{header}\n{row}\n")
    assert only.origin == "cohort.csv, line 2"
    assert only.problem.startswith("cohort.csv, line 2: ")
    return only.problem


# The command line.


def test_a_folder_names_its_own_slides(folder):
    assert names(folder) == ["a.SVS", "b.svs", "c [1].tif"]


def test_a_pattern_names_what_it_matches(folder):
    assert names(folder / "*.svs") == ["b.svs"]
    assert names(folder / "*") == ["a.SVS", "b.svs", "c [1].tif"]
    assert names(folder / "**" / "*.ndpi") == ["d.ndpi"]
    assert names(folder / "**") == ["a.SVS", "b.svs", "c [1].tif", "d.ndpi"]
    # An ending that is stated counts, whatever it is.
    assert names(folder / "*.txt") == ["notes.txt"]


def test_a_name_that_exists_is_no_pattern(folder):
    assert names(folder / "c [1].tif") == ["c [1].tif"]


def test_folders_that_are_one_slide_are_not_opened_up(folder):
    for name in ("case/1.dcm", "case/2.DCM", "m/Slidedat.ini", "m/Data0000.dat", "m.mrxs"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert names(folder / "case") == ["case"]
    assert names(folder) == ["a.SVS", "b.svs", "c [1].tif", "case", "m.mrxs"]
    assert names(folder / "m") == ["m"]


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("empty", r"empty is a folder without slides of its own; name the slides, or a pattern"),
        ("*.czi", r"\*\.czi: no slide matches this pattern; check it"),
        ("a**b/*.czi", r"a\*\*b/\*\.czi: no slide matches|is no pattern"),
    ],
)
def test_a_folder_or_pattern_without_slides_is_one_problem_beside_the_others(
    folder, word, sentence
):
    (folder / "empty").mkdir()
    good, bad, other = rows(folder / "b.svs", folder / word, folder / "a.SVS")
    assert (good.problem, other.problem) == ("", "")
    assert re.search(sentence, bad.problem)


def test_paths_that_no_system_takes_are_their_own_problem(folder):
    (folder / "loop").symlink_to("loop")
    long_name, long_path = "n" * 300 + ".svs", "d/" * 2500
    bad = rows(folder / "b.svs", folder / "loop", long_name, long_path, "file:///y.svs")
    assert bad[0].problem == ""
    for row, reason in zip(
        bad[1:], ("symbolic links", "too long", "longer than", "is the URL of a"), strict=True
    ):
        assert reason in row.problem
        assert len(row.problem) < 400


def test_no_slides_at_all_are_refused():
    with pytest.raises(OptionError, match="no slides are given; name them, or list them in"):
        rows()


def test_links_to_one_file_count_once_with_a_warning(folder, caplog):
    (folder / "link.svs").symlink_to(folder / "b.svs")
    with caplog.at_level(logging.WARNING):
        assert names(folder / "b.svs", folder / "link.svs", folder / "." / "b.svs") == ["b.svs"]
    (record,) = caplog.records
    assert "b.svs and" in record.message
    assert "link.svs are the same file, which counts once" in record.message


# Lists.

LINES = ["cohort/b.svs", "", "# a comment", "cohort/a.SVS"]
SAVED = {
    "plain": ("\n".join(LINES)).encode(),
    "Notepad": "\r\n".join(LINES).encode("utf-8-sig"),
    "PowerShell": "\r\n".join(LINES).encode("utf-16"),
    "UTF-16 big-endian": b"\xfe\xff" + "\r\n".join(LINES).encode("utf-16-be"),
    "UTF-16 without mark": "\r\n".join(LINES).encode("utf-16-le"),
    "old Mac": "\r".join(LINES).encode(),
    "quotes": "\r\n".join(f'"{line}"' if "/" in line else line for line in LINES).encode(),
    "spaces": "\n".join(f"  {line}\t" for line in LINES).encode(),
}


@pytest.mark.parametrize("program", SAVED)
def test_a_list_is_read_as_programs_save_it(folder, tmp_path, program):
    found = listed(tmp_path, SAVED[program])
    assert [(row.path, row.problem) for row in found] == [
        (Path("cohort/b.svs"), ""), (Path("cohort/a.SVS"), ""),
    ]  # fmt: skip
    assert [row.origin for row in found] == ["list.txt, line 1", "list.txt, line 4"]


def test_relative_lines_start_at_the_current_folder_or_the_lists(folder, monkeypatch):
    (folder.parent / "b.svs").touch()
    found = listed(folder, b"b.svs\na.SVS\nnowhere.svs\n")
    assert [row.path for row in found] == [Path("b.svs"), folder / "a.SVS", Path("nowhere.svs")]


def test_lines_may_be_folders_and_patterns(folder):
    found = listed(folder, b"deep\n*.tif\n*.czi\n")
    assert [row.path.name for row in found] == ["d.ndpi", "c [1].tif", "list.txt, line 3"]
    assert "list.txt, line 3: *.czi: no slide matches" in found[2].problem


def test_a_damaged_line_is_its_own_problem(folder, tmp_path):
    data = b"cohort/b.svs\nx\0y.svs\n" + b"q" * 5000 + b"\nfile:///y.svs\ncohort/a.SVS\n"
    good, nul, long, url, last = listed(tmp_path, data)
    assert (good.problem, last.problem) == ("", "")
    for number, row, reason in ((2, nul, "NUL"), (3, long, "longer than"), (4, url, "is the URL")):
        assert row.path == Path(f"list.txt, line {number}")
        assert row.problem.startswith(f"list.txt, line {number}: ")
        assert reason in row.problem
        assert row.problem.isprintable()
        assert len(row.problem) < 300


def test_names_that_are_not_utf_8_are_found_as_they_are_on_the_disk(folder, tmp_path):
    name = os.fsdecode(b"latin-\xe9.svs")
    (folder / name).touch()
    (folder / "ü.svs").touch()
    found = listed(tmp_path, b"cohort/latin-\xe9.svs\n" + "cohort/ü.svs\n".encode())
    assert [row.path.name for row in found] == [name, "ü.svs"]
    # The same letters, spelled as Windows and as macOS do.
    assert [row.path.name for row in listed(tmp_path, b"cohort\\\xfc.svs")] == ["ü.svs"]
    assert [row.path.name for row in listed(tmp_path, "cohort/u\u0308.svs".encode())] == ["ü.svs"]


def test_a_slide_whose_name_begins_like_a_comment_is_not_lost(folder):
    (folder / "#1.svs").touch()
    assert [row.path.name for row in listed(folder, b"#1.svs\n#2.svs\nb.svs")] == [
        "#1.svs", "b.svs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("/dev/zero", "a device"), ("/dev/null", "a device"), (".", "a folder"),
        ("nowhere.txt", "No such file"), ("loop", "symbolic links"), ("n" * 300, "too long"),
    ],
)  # fmt: skip
def test_a_list_that_is_no_file_is_refused(folder, file, reason):
    Path("loop").symlink_to("loop")
    for option in ("from_file", "table"):
        with pytest.raises(OptionError, match=f"cannot be read .*{reason}.*check --"):
            rows(**{option: Path(file)})


@pytest.mark.parametrize("start", [b"PK\x03\x04", b"II*\0", b"\xd0\xcf\x11\xe0", b"\x1f\x8b"])
def test_files_that_are_no_text_are_refused(folder, start):
    (folder / "x").write_bytes(start + b"\0\1\2\n" * 10)
    for option in ("from_file", "table"):
        with pytest.raises(OptionError, match=r"x is .*, and --.* takes a text; save it as CSV"):
            rows(**{option: folder / "x"})


def test_a_list_of_nothing_is_refused(folder):
    with pytest.raises(OptionError, match=r"list\.txt lists no slides; give one path a line"):
        listed(folder, b"\xef\xbb\xbf# nothing\r\n\r\n")


def test_an_endless_list_is_refused(folder, monkeypatch):
    monkeypatch.setattr(list_text, "MAX_BYTES", 1000)
    with pytest.raises(OptionError, match="too long to name slides"):
        listed(folder, b"b.svs\n" * 1000)


def test_lists_of_too_many_slides_are_refused(folder, monkeypatch):
    monkeypatch.setattr(list_text, "MAX_SLIDES", 3)
    assert len(listed(folder, b"b.svs\n\n" * 3)) == 1
    assert len(tabled(folder, "slide\na\n\nb\n")) == 2
    for read in (listed, tabled):
        with pytest.raises(OptionError, match="over 3 slides; split it"):
            read(folder, b"slide\n" + b"".join(b"%d.svs\n" % number for number in range(9)))


def test_a_row_of_too_many_cells_is_not_taken_apart(folder):
    bad, good = tabled(folder, "slide\nb.svs" + "," * 10_000 + "\na.SVS\n")
    assert "the row has 10,001 cells; check the separators" in bad.problem
    assert good.problem == ""


def test_a_shells_pipe_is_a_list(folder):
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: (os.write(writing, b"cohort/b.svs\n"),
                                              os.close(writing)))  # fmt: skip
    writer.start()
    assert names(from_file=Path(f"/dev/fd/{reading}")) == ["b.svs"]
    writer.join()
    os.close(reading)


def test_a_pipe_to_which_nobody_writes_is_refused(folder, monkeypatch):
    monkeypatch.setattr(list_text, "_NO_WRITER_S", 0.3)
    monkeypatch.setattr(list_text, "_SILENCE_S", 0.3)
    os.mkfifo("pipe")
    with pytest.raises(OptionError, match=r"pipe cannot be read .*nothing is written to it"):
        rows(from_file=Path("pipe"))
    reading, writing = os.pipe()
    with pytest.raises(OptionError, match="nothing is written to it"):
        rows(from_file=Path(f"/dev/fd/{reading}"))
    os.close(writing)
    os.close(reading)


# The table.

TABLE = (
    "slide,name,mpp,label,AGE,Note",
    "b.svs,patient 1,0.25,MSIH,63,\"one, two\"",
    "a.SVS,,,,,",
)  # fmt: skip
FACTS = [
    ("b.svs", "patient 1", 0.25, "MSIH", {"AGE": "63", "Note": "one, two"}),
    ("a.SVS", None, None, None, {}),
]


def table_as(separator, newline="\n", encoding="utf-8"):
    lines = [TABLE[0].replace(",", separator), TABLE[1].replace(",", separator, 5),
             TABLE[2].replace(",", separator)]  # fmt: skip
    return newline.join([*lines, ""]).encode(encoding)


TABLES = {
    "R": table_as(","),
    "Excel, CSV UTF-8": table_as(",", "\r\n", "utf-8-sig"),
    "Excel, German": table_as(";", "\r\n", "utf-8-sig"),
    "Excel, Unicode text": table_as("\t", "\r\n", "utf-16"),
    "Excel for Mac": table_as(";", "\r"),
    "with its separator": b"sep=;\r\n" + table_as(";", "\r\n"),
    "Windows PowerShell": "#TYPE System.Object\r\n".encode("utf-16")
    + table_as(",", "\r\n", "utf-16")[2:],
    "trailing separators": table_as(",").replace(b"\n", b",,\n"),
    "blank lines": table_as(",").replace(b"\n", b"\n,,,,,\n\n"),
    "spaces": table_as(",").replace(b",", b" ,").replace(b'"one ,', b'"one,'),
    "quotes": table_as(",").replace(b"slide", b'"slide"').replace(b"b.svs", b'"b.svs"'),
    "no end": table_as(",").rstrip(b"\n,"),
}


@pytest.mark.parametrize("program", TABLES)
def test_a_table_is_read_as_programs_save_it(folder, program):
    found = tabled(folder, TABLES[program])
    assert [(r.path.name, r.name, r.mpp, r.label, dict(r.covariates)) for r in found] == FACTS
    assert {row.problem for row in found} == {""}
    assert {row.path.parent for row in found} == {folder}


@pytest.mark.parametrize("name", ["slide", "Slide", "WSI", "path", "FILENAME", " filename "])
def test_the_slides_column_has_several_names(folder, name):
    (row,) = tabled(folder, f"ID,{name}\n7,b.svs\n")
    assert (row.path, dict(row.covariates)) == (folder / "b.svs", {"ID": "7"})


def test_lines_are_those_of_the_file(folder):
    found = tabled(folder, 'slide,Note\n\n"b.svs","a\nlong\nnote"\n"",x\n')
    assert [row.origin for row in found] == ["cohort.csv, line 3", "cohort.csv, line 6"]
    assert found[0].covariates["Note"] == "a\nlong\nnote"
    assert found[1].path == Path("cohort.csv, line 6")
    assert found[1].problem == ("cohort.csv, line 6: the cell of the slide is empty; give its path")


def test_the_header_alone_decides_on_the_separator(folder):
    (row,) = tabled(folder, 'slide\tNote\nb.svs\tone,"two;three\n')
    assert (row.path.name, dict(row.covariates)) == ("b.svs", {"Note": 'one,"two;three'})
    (row,) = tabled(folder, "slide\nb.svs\n")
    assert (row.path.name, dict(row.covariates)) == ("b.svs", {})


def test_numbers_of_european_tables_have_commas(folder):
    (row,) = tabled(folder, "slide;mpp;AGE;Note\nb.svs;0,25;63,5;x,y\n")
    assert (row.mpp, dict(row.covariates)) == (0.25, {"AGE": "63.5", "Note": "x,y"})


def test_missing_facts_may_be_written_as_r_and_pandas_do(folder):
    (row,) = tabled(folder, "slide,mpp,label,AGE\nb.svs,NA,nan,NA\n")
    assert (row.mpp, row.label, dict(row.covariates)) == (None, None, {"AGE": "NA"})


def test_windows_1252_is_read_with_a_warning(folder, caplog):
    (folder / "ü.svs").touch()
    with caplog.at_level(logging.WARNING):
        (row,) = tabled(folder, "slide,label\nü.svs,Größe\n".encode("cp1252"))
    assert (row.path, row.label) == (folder / "ü.svs", "Größe")
    (record,) = caplog.records
    assert record.message.startswith("cohort.csv is not UTF-8 and is read as Windows-1252")
    assert refused(folder, b"slide,label\nb.svs,x\na.SVS,\x81\xff\n").endswith(
        "line 3: the text is neither UTF-8 nor Windows-1252; save the table as CSV (UTF-8)"
    )


def test_paths_start_at_the_tables_folder_and_may_lack_their_ending(folder):
    (Path("b.svs")).touch()
    found = tabled(folder, f"slide\nb\ndeep/d\n{folder.parent / 'b.svs'}\nc [1]\n")
    assert [row.path for row in found] == [
        folder / "b.svs", folder / "deep" / "d.ndpi", folder.parent / "b.svs", folder / "c [1].tif",
    ]  # fmt: skip
    (folder / "b.tif").touch()
    (row,) = tabled(folder, "slide\nb\n")
    assert "b names b.svs and b.tif alike; add the ending" in row.problem or (
        "b names b.tif and b.svs alike" in row.problem
    )


def test_a_dicom_folder_is_a_slide_of_a_table(folder):
    (folder / "case").mkdir()
    (folder / "case" / "1.dcm").touch()
    (row,) = tabled(folder, "slide\ncase\n")
    assert (row.path, row.problem) == (folder / "case", "")


WRONG = [
    ("b.svs,,abc,,", "mpp is abc; give the µm per pixel, a number from 0.05 to 20"),
    ("b.svs,,0.01,,", "mpp is 0.01; give"),
    ("b.svs,,25,,", "mpp is 25; give"),
    ("b.svs,,inf,,", "mpp is inf; give"),
    ("b.svs,,0x1,,", "mpp is 0x1; give"),
    ("b.svs,a/b,,,", "the name a/b is no file name; leave out slashes"),
    ("b.svs,a\\b,,,", "is no file name"),
    ("b.svs,..,,,", "is no file name"),
    ("b.svs,a\x1b[31m,,,", "the name a\\x1b[31m is no file name"),
    (f"b.svs,{'n' * 201},,,", "is over 200 bytes"),
    (",x,,,", "the cell of the slide is empty"),
    ("b.svs,,,,63,64", "the row has 6 cells, and cell 6 has no column in a header of 5"),
    ("s3://bucket//b.svs,,,,", "s3://bucket//b.svs has two slashes in a row"),
    ("s3://bucket/../b.svs,,,,", "has a part . or .., which object storage does not resolve"),
    ("file:///b.svs,,,,", "is the URL of a file on a disk; give its path"),
    ("deep,,,,", "deep is a folder, and a row is one slide"),
    ("q" * 5000 + ",,,,", "is longer than a path may be"),
    ("q" * 300 + ".svs,,,,", "too long"),
    ('b.svs,"a"b,,,', "the quotes are not those of a table"),
]


@pytest.mark.parametrize(("row", "sentence"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_row_is_the_fault_of_its_slide_alone(folder, row, sentence):
    assert sentence in problem(folder, row)
    assert problem(folder, row).isprintable()
    good, bad, other = tabled(folder, f"slide,name,mpp,label,AGE\na.SVS\n{row}\nc [1].tif\n")
    assert (good.problem, other.problem) == ("", "")
    assert bad.problem.startswith("cohort.csv, line 3: ")


UNUSABLE = {
    "": "cohort.csv is empty; give a table with a column slide",
    "\n,,\n": "is empty",
    "slide,mpp\n": "has a header but no slides; add a row for each slide",
    "b.svs,0.25\n": "line 1: no column is named slide (or wsi, path, filename); the header is",
    "slide,slide\nb.svs,\n": "line 1: two columns are named slide; rename one",
    "slide,AGE,AGE\nb.svs,,\n": "two columns are named AGE",
    "slide,mpp,MPP\nb.svs,,\n": "two columns are named mpp",
    "slide,path\nb.svs,\n": "the columns slide and path could both name the slides; rename one",
    'slide,Note\nb.svs,"open\na.SVS,x\n': "line 2: a quote is opened there and never closed",
    "slide\nb\0.svs\n": "line 2: there is a NUL character",
}


@pytest.mark.parametrize("text", UNUSABLE, ids=range(len(UNUSABLE)))
def test_an_unusable_table_is_refused_in_one_sentence(folder, text):
    sentence = refused(folder, text)
    assert UNUSABLE[text] in sentence
    assert sentence.startswith(str(folder / "cohort.csv"))


def test_files_of_features_and_scores_lie_beside_the_table(folder):
    good, empty = tabled(folder, "slide,features,Scores\nb.svs,h5/b.h5,b.csv\na.SVS,,NA\n")
    assert (good.features, good.scores) == (folder / "h5" / "b.h5", folder / "b.csv")
    assert (empty.features, empty.scores) == (None, None)
    assert (good.problem, empty.problem) == ("", "")
    assert dict(good.covariates) == dict(empty.covariates) == {}
    assert "is a URL" in problem(folder, "b.svs,https://x.org/b.h5", header="slide,features")


def test_columns_of_the_same_letters_are_told_apart_by_case(folder):
    found = tabled(folder, "slide,AGE,age,SEX\nb.svs,,7,\na.SVS,63,,\n")
    assert dict(found[0].covariates) == {"AGE": "", "age": "7"}
    assert dict(found[1].covariates) == {"AGE": "63", "age": ""}


def test_rows_of_one_slide_must_agree(folder):
    header = "slide,name,mpp,label,AGE\n"
    (same,) = tabled(folder, f"{header}b.svs,,0.25,,63\nb.svs,,0.250,,63\n")
    assert (same.problem, same.mpp) == ("", 0.25)
    (folder / "link.svs").symlink_to(folder / "b.svs")
    for other, fact in (
        ("b.svs,,0.5,,63", "another mpp (0.25 and 0.5)"), ("b.svs,,0.25,,64", "another AGE (63"),
        ("b.svs,,0.25,MSIH,63", "another label (nothing and MSIH)"),
        ("link.svs,x,0.25,,63", "another name (nothing and x)"),
    ):  # fmt: skip
        bad, good = tabled(folder, f"{header}b.svs,,0.25,,63\na.SVS,,,,\n{other}\n")
        assert good.problem == ""
        assert bad.problem.startswith("cohort.csv, line 2 and cohort.csv, line 4 name the same")
        assert fact in bad.problem


def test_a_name_may_belong_to_one_slide_only(folder):
    one, two, good = tabled(folder, "slide,name\nb.svs,P1\na.SVS,p1\nc [1].tif,P2\n")
    assert good.problem == ""
    for row in (one, two):
        assert "line 2 and cohort.csv, line 3 have the name" in row.problem


def test_a_slide_of_all_three_sources_counts_once_with_the_tables_facts(folder):
    (folder / "list.txt").write_text("b.svs\nc [1].tif\n")
    (folder / "cohort.csv").write_text("slide,mpp,AGE\nb.svs,0.25,63\ndeep/d.ndpi,,\n")
    found = rows(folder / "a.SVS", folder / "b.svs", from_file=folder / "list.txt",
                 table=folder / "cohort.csv")  # fmt: skip
    assert found == [
        SlideRow(folder / "a.SVS"),
        SlideRow(folder / "b.svs", mpp=0.25, covariates={"AGE": "63"}, origin="cohort.csv, line 2"),
        SlideRow(folder / "c [1].tif", origin="list.txt, line 2"),
        SlideRow(folder / "deep" / "d.ndpi", origin="cohort.csv, line 3"),
    ]


def test_a_wrong_row_counts_for_a_slide_that_the_command_line_names_too(folder):
    (folder / "cohort.csv").write_text("slide,mpp\nb.svs,abc\n")
    bad, good = rows(folder / "b.svs", folder / "a.SVS", table=folder / "cohort.csv")
    assert "cohort.csv, line 2: mpp is abc" in bad.problem
    assert good.problem == ""
