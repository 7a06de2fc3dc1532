"""What `view` serves, what it keeps to itself, and how it bears many requests."""

import json
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from view_server import viewing

from heatmaps_ome.errors import ResultError
from heatmaps_ome.viewers.server.links import Linker
from heatmaps_ome.viewers.server.served import is_correct, served
from heatmaps_ome.viewers.server.server import Address

SECRET = b"Erika Mustermann, born 1957"
CHUNKS = 4 << 20
AT_ONCE_MIB = 64


def maps_json(name):
    maps = [("attention", "attention", None), ("score-MSIH", "score", "MSIH"),
            ("score-MSS", "score", "MSS")]  # fmt: skip
    return {
        "prediction": {"<b>MSIH</b>": 0.75, "MSS": None},
        "true_class": "MSS",
        "image": f"{name}.ome.zarr",
        "slide": {"name": name},
        "maps": [
            {"name": each, "kind": kind, "class": of, "flat": f"{name}.{each}.flat.ome.zarr"}
            for each, kind, of in maps
        ],
    }


def make_slide(run, name):
    folder = run / name
    (folder / f"{name}.ome.zarr" / "0").mkdir(parents=True)
    (folder / "provenance.json").write_text("{}")
    (folder / "maps.json").write_text(json.dumps(maps_json(name)))
    (folder / f"{name}.ome.zarr" / ".zattrs").write_text('{"multiscales": []}')
    rng = np.random.default_rng(0)
    (folder / f"{name}.ome.zarr" / "0" / "0.0.0").write_bytes(rng.bytes(CHUNKS))
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """A run with much around and in it that is nobody's business."""
    around = tmp_path_factory.mktemp("around")
    run = around / "out"
    for name in ("a", "b c ü#?%41"):
        make_slide(run, name)
    (around / "secret.txt").write_bytes(SECRET)
    (run / "patient.svs").write_bytes(SECRET)
    for name in (".cache/features", ".d.partial", "viewers/qupath"):
        (run / name).mkdir(parents=True)
        (run / name / "secret.txt").write_bytes(SECRET)
    make_slide(run, ".e.old")
    (run / "no-result").mkdir()
    (run / "no-result" / "secret.txt").write_bytes(SECRET)
    (run / "run.json").write_text("{}")
    (run / "a" / ".hidden").write_bytes(SECRET)
    (run / "a" / "link.txt").symlink_to(around / "secret.txt")
    (run / "a" / "link").symlink_to(around)
    (run / "a" / "loop").symlink_to(run / "a" / "loop")
    (run / "a" / "to-slide").symlink_to(run / "patient.svs")
    elsewhere = make_slide(around, "f")
    (elsewhere / "secret.txt").write_bytes(SECRET)
    (run / "f").symlink_to(elsewhere)
    return run


@pytest.fixture(scope="module")
def server(out):
    with viewing(out) as running:
        yield running


def test_the_page_lists_the_slides_with_links_that_work(server, out):
    run = server.json("/api/run.json")
    assert run["name"] == "out"
    assert [slide["name"] for slide in run["slides"]] == ["a", "b c ü#?%41"]
    for slide in run["slides"]:
        found = server.json(f"/{slide['files']}maps.json")
        assert found == maps_json(slide["name"])
        assert slide["prediction"] == found["prediction"]


def test_the_page_is_told_ground_truth_and_whether_the_prediction_is_it(tmp_path):
    truths = {"a": "MSS", "b": "MSIH", "c": None}
    for name, label in truths.items():
        folder = make_slide(tmp_path, name)
        facts = maps_json(name) | {"prediction": {"MSIH": 0.7, "MSS": 0.3}, "label": label}
        (folder / "maps.json").write_text(json.dumps(facts))
    slides = served(tmp_path).description(Linker("http://127.0.0.1/"))["slides"]
    assert {slide["name"]: slide["label"] for slide in slides} == truths
    assert [slide["correct"] for slide in slides] == [False, True, None]
    assert {slide["true_class"] for slide in slides} == {"MSS"}, "the class drawn hot is no truth"


@pytest.mark.parametrize(
    ("label", "prediction", "task"),
    [
        ("other", {"a": 0.7, "b": 0.3}, "classification"),
        ("a", {"a": None, "b": None}, "classification"),
        ("a", {"a": 0.7, "b": 0.8}, "multilabel"),
        ("a", {"a": 0.7}, "classification"),
        ("61.5", {"age": 61.5}, "regression"),
    ],
)
def test_a_label_that_no_class_answers_is_neither_right_nor_wrong(label, prediction, task):
    facts = {"label": label, "prediction": prediction, "target": {"task": task}}
    assert is_correct(facts) is None


@pytest.mark.parametrize(("stored", "image", "found"), [
    (["attention", "score-MSIH", "score-MSS"], True, "score-MSS"),
    (["attention"], True, "score-MSS"),  # composed as it is asked for
    (["attention"], False, "attention"),
    ([], False, None),
])  # fmt: skip
def test_links_show_the_first_map_that_there_is_a_picture_of(stored, image, found):
    facts = maps_json("a") | ({} if image else {"image": None})
    for entry in facts["maps"]:
        if entry["name"] not in stored:
            entry["flat"] = None
    links = {link.title: link.url for link in Linker("http://127.0.0.1/").links(facts, "files/a/")}
    if found is None:
        assert "Vizarr" not in links
    else:
        assert links["Vizarr"].endswith(f"%2Fa.{found}.flat.ome.zarr")


def test_links_to_other_viewers_lead_to_the_files_that_each_draws_right(server):
    from urllib.parse import parse_qs, urlsplit

    for slide in server.json("/api/run.json")["slides"]:
        sources = {}
        for link in slide["links"]:
            [[source]] = parse_qs(urlsplit(link["url"]).query).values()
            sources[link["title"]] = source
            assert source.startswith(server.url)
        assert sources["Vizarr (BioNGFF)"].endswith(".ome.zarr")
        assert ".flat." not in sources["Vizarr (BioNGFF)"]
        assert sources["Vizarr"] == sources["Avivator"]
        # The map that every viewer shows first, which is not the first of the list.
        assert sources["Vizarr"].endswith(".score-MSS.flat.ome.zarr")
        target = sources["OME-NGFF validator"].removeprefix(server.url)
        status, _, body = server.get(f"/{target}/.zattrs")
        assert (status, body) == (200, b'{"multiscales": []}')


def test_what_is_said_at_the_start_can_be_opened(server):
    assert "out: 2 slides" in server.said
    assert server.get("/")[0] == 200
    assert re.search(
        r"Vizarr \(BioNGFF\) +https://biongff\.github\.io/vizarr/\?source=", server.said
    )


TARGETS = [
    "/files/../secret.txt", "/files/a/../../secret.txt", "/files/%2e%2e/secret.txt",
    "/files/a/%2e%2e/%2e%2e/secret.txt", "/files/a/..%2f..%2fsecret.txt",
    "/files/a/..%5c..%5csecret.txt", "/files/a/..\\..\\secret.txt", "/files//{around}/secret.txt",
    "/files/{around}/secret.txt", "/files/%2f{around}/secret.txt", "/files/a//{around}/secret.txt",
    "/files/a/%00/../../../secret.txt", "/files/a/link.txt", "/files/a/link/secret.txt",
    "/files/a/to-slide", "/files/a/.hidden", "/files/a/loop", "/files/f/secret.txt",
    "/files/f/maps.json", "/files/patient.svs", "/files/.cache/features/secret.txt",
    "/files/.d.partial/secret.txt", "/files/.e.old/maps.json", "/files/viewers/qupath/secret.txt",
    "/files/no-result/secret.txt", "/page/../../secret.txt", "/page/%2e%2e/%2e%2e/secret.txt",
    "/page/../package.json", "//{around}/secret.txt", "/../secret.txt", "/files/",
    "/files/a", "/files/a/", "/files/a/" + "x" * 5000, "/files/a/" + "y/" * 2000,
    "/files/a/%ff%fe", "/files/a/%c0%ae%c0%ae/%c0%ae%c0%ae/secret.txt", "/api/run.json/../../x",
    "http://elsewhere/files/../secret.txt", "file://{around}/secret.txt",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_else_is_served_however_it_is_asked_for(server, out, target):
    status, _, body = server.get(target.replace("{around}", str(out.parent)))
    assert status in (400, 404), body[:200]
    assert SECRET not in body


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "x"]
)
def test_odd_methods_are_refused(server, method):
    for target in ("/", "/api/run.json", "/files/a/maps.json", "/page/main.js"):
        status, _, body = server.get(target, method, Content_Length="0")
        assert status in (400, 405, 501), (target, status)
        assert b"prediction" not in body


@pytest.mark.parametrize(
    "request_bytes",
    [b"", b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00" * 50, b"GET / HTTP/9.9\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
     b"GET / HTTP/1.1\r\n\r\n"],
    ids=range(8),
)  # fmt: skip
def test_what_is_no_request_does_no_harm(server, request_bytes):
    answer = server.raw(request_bytes, and_no_more=True)
    assert not answer or answer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "))
    assert server.get("/")[0] == 200


def test_our_page_is_told_of_an_absent_chunk_without_an_error(server):
    status, _, body = server.get("/files/a/a.ome.zarr/0/0.0.1", Missing_As="204")
    assert (status, body) == (204, b"")
    assert server.get("/files/a/maps.json", Missing_As="204")[0] == 200
    assert server.get("/files/a/../../secret.txt", Missing_As="204")[2] == b""


def test_any_part_of_a_file_can_be_had(server, out):
    whole = (out / "a" / "a.ome.zarr" / "0" / "0.0.0").read_bytes()
    target = "/files/a/a.ome.zarr/0/0.0.0"
    for asked, part in [
        ("bytes=0-0", whole[:1]), ("bytes=65535-65537", whole[65535:65538]),
        ("bytes=-7", whole[-7:]), (f"bytes={CHUNKS - 3}-", whole[-3:]),
        (f"bytes=5-{10 * CHUNKS}", whole[5:]),
    ]:  # fmt: skip
        status, headers, body = server.get(target, Range=asked)
        assert (status, body) == (206, part)
        assert headers["content-range"].endswith(f"/{CHUNKS}")
    assert server.get(target, Range=f"bytes={CHUNKS}-")[0] == 416
    status, headers, body = server.get(target)
    assert (status, body) == (200, whole)
    assert headers["accept-ranges"] == "bytes"
    status, headers, body = server.get(target, "HEAD")
    assert (status, headers["content-length"], body) == (200, str(CHUNKS), b"")
    for odd in ("bytes=", "bytes=x-y", "apples=1-2", "bytes=9-1", "bytes=" + "0-1," * 5000):
        assert server.get(target, Range=odd)[0] in (200, 206, 400, 416)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://biongff.github.io", True), ("https://hms-dbmi.github.io", True),
        ("https://avivator.gehlenborglab.org", True), ("http://localhost:3000", True),
        ("http://127.0.0.1:5500", True), ("https://evil.example", False), ("null", False),
        ("http://localhost.evil.example", False), ("https://biongff.github.io.evil.example", False),
    ],
)  # fmt: skip
def test_only_known_viewers_and_this_machines_pages_may_read(server, origin, allowed):
    _, headers, _ = server.get("/files/a/maps.json", Origin=origin)
    assert headers.get("access-control-allow-origin") == (origin if allowed else None)
    status, headers, _ = server.get(
        "/files/a/maps.json", "OPTIONS", Origin=origin, Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="range", Access_Control_Request_Private_Network="true",
    )  # fmt: skip
    assert (status == 200) is allowed
    assert headers.get("access-control-allow-origin") == (origin if allowed else None)
    missing = server.get("/files/a/no-such-chunk", Origin=origin)
    assert missing[0] == 404, "viewers take 404, and only that, for an empty chunk"
    assert missing[1].get("access-control-allow-origin") == (origin if allowed else None)


def test_other_pages_may_read_if_asked_for(out):
    with viewing(out, "--allow-origin", "https://viewer.example") as running:
        _, headers, _ = running.get("/files/a/maps.json", Origin="https://viewer.example")
        assert headers["access-control-allow-origin"] == "https://viewer.example"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_name_that_a_stranger_gave_our_address_is_refused(server, host):
    status, _, body = server.get("/api/run.json", Host=host)
    assert (status, b"prediction" in body) == (400, False)
    assert server.get("/api/run.json", Host=f"localhost:{server.port}")[0] == 200


def test_no_other_machine_can_reach_it(server):
    found = subprocess.run(
        [sys.executable, "-c", "import socket; print(socket.gethostbyname(socket.gethostname()))"],
        capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    if not found or found.startswith("127."):
        pytest.skip("this machine has no other address than the loopback's")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((found, server.port), timeout=5)


def test_other_machines_are_let_in_only_with_a_warning(out):
    with viewing(out, "--host", "0.0.0.0") as running:
        assert "everyone who can reach this machine can see the slides" in running.said
        assert running.get("/api/run.json", Host="some-name")[0] == 200
    assert Address("127.0.0.1", 1).is_loopback
    assert Address("::1", 1).is_loopback
    assert Address("::1", 80).url == "http://[::1]:80/"
    assert not Address("10.0.0.1", 1).is_loopback


@pytest.mark.slow
def test_a_thousand_requests_at_once_are_answered_in_bounded_memory(server, out):
    whole = (out / "a" / "a.ome.zarr" / "0" / "0.0.0").read_bytes()
    rng = np.random.default_rng(1)
    starts = rng.integers(0, CHUNKS - 1_000_000, 1000)
    before = server.rss_mib()

    def part_is_right(start):
        asked = f"bytes={start}-{start + 999_999}"
        status, _, body = server.get("/files/a/a.ome.zarr/0/0.0.0", Range=asked)
        return status == 206 and body == whole[start : start + 1_000_000]

    peak = 0.0
    with ThreadPoolExecutor(1000) as pool:
        waiting = [pool.submit(part_is_right, int(start)) for start in starts]
        for each in waiting:
            assert each.result()
            peak = max(peak, server.rss_mib())
    assert peak - before < AT_ONCE_MIB
    assert len(list(Path(f"/proc/{server.process.pid}/fd").iterdir())) < 64, (
        "connections are given back"
    )
    assert server.get("/")[0] == 200


def test_clients_that_never_read_do_not_stop_the_others(server):
    stuck = []
    request = f"GET /files/a/a.ome.zarr/0/0.0.0 HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n"
    try:
        for _ in range(50):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(request.encode())
            stuck.append(connection)
        assert server.get("/api/run.json")[0] == 200
    finally:
        for connection in stuck:
            connection.close()


def test_a_single_slides_folder_can_be_viewed(out):
    with viewing(out / "a") as running:
        [slide] = running.json("/api/run.json")["slides"]
        assert slide["name"] == "a"
        assert running.get("/files/a/maps.json")[0] == 200
        for target in ("/files/run.json", "/files/b%20c%20%C3%BC%23%3F%2541/maps.json"):
            assert running.get(target)[0] == 404


def test_a_slide_that_appears_or_is_damaged_later_is_listed(out, tmp_path):
    run = tmp_path / "run"
    make_slide(run, "a")
    with viewing(run) as running:
        make_slide(run, "later")
        (run / "a" / "maps.json").write_text("{")
        slides = running.json("/api/run.json")["slides"]
        assert [slide["name"] for slide in slides] == ["a", "later"]


def test_a_folder_without_results_is_refused_in_a_sentence(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(ResultError, match="holds no slide's results"):
            served(path)


def test_a_port_that_is_taken_is_told(out):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "heatmaps_ome.cli.main", "view", str(out), "--port", str(port)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert f"port {port}" in done.stderr
    assert "Traceback" not in done.stderr
