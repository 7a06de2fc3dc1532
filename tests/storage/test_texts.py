"""Names of strangers make no file that others cannot read."""

import json
import sys
from xml.etree import ElementTree

import pytest

from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.ome.ngff_store import create_group
from heatmaps_ome.ome.ome_xml import OmeImage, ome_xml
from heatmaps_ome.storage.digests import write_json
from heatmaps_ome.storage.texts import encodable, printable

NAMES = [
    "\x1b]0;owned\x07", "a\nb\r\tc", "<b>&\"'</b>", "\u200fשלום", "\u202egpj.exe", "\x9b31m",
    "latin1-\udce9", "half \ud800", "\ufffe\uffff", "\x00", "\u2028", "\x7f",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_printable_name_is_one_line_that_all_files_can_hold(name):
    text = printable(name)
    assert len(text.encode("utf-8").decode("utf-8").splitlines()) == 1
    assert len(text) == len(name)
    assert printable(text) == text
    ElementTree.fromstring(f"<a>{text.replace('&', '&amp;').replace('<', '&lt;')}</a>")
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e", "\n", "\r", "\0"}


def test_ordinary_names_of_all_scripts_stay_as_they_are():
    for name in (
        "MSI-H / high",
        "腫瘍",
        "ورم‌ها",
        "\u200fשלום",
        "é è",
        "e\u0301",
        "👩‍🔬",
        "a\u00a0b",
    ):
        assert printable(name) == encodable(name) == name


def test_every_character_that_xml_forbids_is_replaced():
    allowed = [9, 10, 13, *range(0x20, 0xD800), *range(0xE000, 0xFFFE), 0x10000, sys.maxunicode]
    forbidden = set(range(0x10001)) - set(allowed)
    assert all(printable(chr(code)) != chr(code) for code in forbidden)


@pytest.mark.parametrize("name", NAMES)
def test_files_with_names_of_strangers_can_be_read(name, tmp_path):
    write_json(tmp_path / "a.json", {name: [name]})
    assert json.loads((tmp_path / "a.json").read_bytes().decode("utf-8")) == {
        encodable(name): [encodable(name)]
    }
    for ngff, file in (("0.4", ".zattrs"), ("0.5", "zarr.json")):
        create_group(tmp_path / ngff, {"heatmaps_ome": {name: name}}, ngff)
        facts = json.loads((tmp_path / ngff / file).read_bytes().decode("utf-8"))
        facts = facts if ngff == "0.4" else facts["attributes"]
        assert facts["heatmaps_ome"] == {encodable(name): encodable(name)}
    image = OmeImage(name, Shape(2, 3), YX(0.5, 0.5), "float", ((name, None),))
    xml = ome_xml(image, planes=True).encode("utf-8")
    assert b"&#" not in xml
    [found] = [e for e in ElementTree.fromstring(xml).iter() if e.tag.endswith("Image")]
    assert found.get("Name") == printable(name)
