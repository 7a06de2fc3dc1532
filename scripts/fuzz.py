#!/usr/bin/env python3
"""Damage files of every format that is read, and count what the readers do with them.

    python scripts/fuzz.py [--cases 1000] [--seed 0] [--results RUN] [FORMAT ...]

Every reader has to answer each file with a result or with one of the program's own errors. Counted
are: code that ran, other exceptions ("tracebacks"), cases that took too long, and the most memory
of the process that read the format. RUN is a run with the demo's formats; without it, the demo is
run. The exit code is 1 if anything but errors of our own was found.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CASE_S = 60
MOST_MIB = 512
CODE = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen",
        "pty.spawn", "socket.connect", "shutil.rmtree")  # fmt: skip
"""Audit events of Python that no reader has a reason for."""


@dataclass
class Counts:
    """What the readers of a format did.

    Attributes
    ----------
    read, refused : int
        Files that were read, or answered by an error of our own.
    code_run : dict of text → int
        By the event of Python that shows it.
    too_long : int
    tracebacks : dict of text → int
        Other exceptions, by where they came from.
    start_mib, peak_mib : float
        Memory of the process after reading the good sample (torch alone takes some 400 MiB), and
        its highest.
    """

    read: int = 0
    refused: int = 0
    code_run: dict[str, int] = field(default_factory=dict)
    too_long: int = 0
    tracebacks: dict[str, int] = field(default_factory=dict)
    start_mib: float = 0.0
    peak_mib: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether nothing was found."""
        bad = self.code_run or self.too_long or self.tracebacks
        return not bad and self.peak_mib - self.start_mib <= MOST_MIB


@dataclass(frozen=True)
class Format:
    """A format: a good sample, a file or a folder, and its readers."""

    sample: Callable[[Path, Path], Path]
    read: Callable[[Path], object]


def _copy(pattern: str) -> Callable[[Path, Path], Path]:
    """Return a maker of samples that copies the first match of a pattern in a slide's results."""

    def sample(results: Path, folder: Path) -> Path:
        source = sorted(_slide(results).glob(pattern))[0]
        target = folder / source.name
        return Path((shutil.copytree if source.is_dir() else shutil.copyfile)(source, target))

    return sample


def _slide(results: Path) -> Path:
    return sorted(results.glob("*/provenance.json"))[0].parent


def _result(results: Path, folder: Path) -> Path:
    """Copy a slide's result without pictures."""
    source = _slide(results)
    target = folder / source.name
    target.mkdir()
    for path in [source / "provenance.json", source / "maps.json"]:
        shutil.copyfile(path, target / path.name)
    values = next(source.glob("*.values.ome.zarr"))
    shutil.copytree(values, target / values.name)
    return target


def _image(results: Path, folder: Path) -> Path:
    """Copy the slide image with one label and few chunks."""
    source = next(p for p in _slide(results).glob("*.ome.zarr") if p.name.count(".") == 2)
    target = folder / source.name
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("0", "1", "score-*", "contr*"))
    for name in (".zattrs", "zarr.json"):
        if (target / name).exists():
            facts = json.loads((target / name).read_text(encoding="utf-8"))
            block = facts if name == ".zattrs" else facts["attributes"]["ome"]
            del block["multiscales"][0]["datasets"][:2]
            (target / name).write_text(json.dumps(facts), encoding="utf-8")
    return target


def _values_0_5(results: Path, folder: Path) -> Path:
    """Write the raw values as zarr v3."""
    from heatmaps_ome.maps.store import read_values, write_values

    source = next(_slide(results).glob("*.values.ome.zarr"))
    return write_values(read_values(source), folder, {}, "0.5")


def _model(_: Path, folder: Path) -> Path:
    import heatmaps_ome.demo

    source = Path(heatmaps_ome.demo.__file__).parent / "data" / "demo-export.pkl"
    return Path(shutil.copyfile(source, folder / "export.pkl"))


def _converted(results: Path, folder: Path) -> Path:
    from heatmaps_ome.models import read_stored
    from heatmaps_ome.models.converted import write_converted

    target = folder / "model.safetensors"
    write_converted(read_stored(_model(results, folder)), target)
    return target


def _checkpoint(*, of_old: bool) -> Callable[[Path, Path], Path]:
    """Return a maker of CLAM's checkpoints, as a zip archive or as torch wrote before 1.6."""

    def make(_: Path, folder: Path) -> Path:
        import torch

        shapes = {
            "attention_net.0": (8, 6), "attention_net.3.attention_a.0": (4, 8),
            "attention_net.3.attention_b.0": (4, 8), "attention_net.3.attention_c": (1, 4),
            "classifiers": (2, 8), "instance_classifiers.0": (2, 8),
        }  # fmt: skip
        state = {f"{name}.weight": torch.ones(shape) for name, shape in shapes.items()}
        state |= {f"{name}.bias": torch.ones(shape[0]) for name, shape in shapes.items()}
        path = folder / "s_0_checkpoint.pt"
        torch.save(state, path, _use_new_zipfile_serialization=not of_old)
        return path

    return make


def _weights(_: Path, folder: Path) -> Path:
    import torch

    state = {f"layer{n}.weight": torch.ones(9, 4) * n for n in range(9)}
    torch.save(state, folder / "weights.pth")
    return folder / "weights.pth"


def _scaling(results: Path, folder: Path) -> Path:
    return Path(shutil.copyfile(results / "scaling.json", folder / "scaling.json"))


def _run_json(results: Path, folder: Path) -> Path:
    (folder / "run").mkdir()
    shutil.copyfile(results / "run.json", folder / "run" / "run.json")
    return folder / "run"


def _list(_: Path, folder: Path) -> Path:
    lines = ["# slides", "a.svs", '"b c.svs"', "/no/such/d.svs", "é.svs", ""]
    (folder / "list.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder / "list.txt"


def _table(_: Path, folder: Path) -> Path:
    lines = ["slide,name,mpp,label,AGE", "a.svs,a,0.5,x,60", 'b.svs,"b, c",,y,nan', ""]
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    return folder / "table.csv"


def _read_model(path: Path) -> None:
    from heatmaps_ome.models import describe_model, read_stored

    describe_model(path)
    read_stored(path)


def _read_weights(path: Path) -> None:
    from heatmaps_ome.extractors.weights_file import read_state

    read_state(path, "")


def _read_scaling(path: Path) -> None:
    from heatmaps_ome.display.scaling import CohortScaling

    CohortScaling.load(path)


def _read_store(path: Path) -> None:
    from heatmaps_ome.maps.store import read_values

    _validate(path)
    read_values(path)


def _read_result(path: Path) -> None:
    import heatmaps_ome
    from heatmaps_ome.cli.info import describe
    from heatmaps_ome.errors import HeatmapsError

    _validate(path)
    with contextlib.suppress(HeatmapsError):
        describe(path)
    for results in heatmaps_ome.open(path).values():
        for kind, class_name in results.maps:
            results.map(kind, class_name)


def _read_run(path: Path) -> None:
    import heatmaps_ome
    from heatmaps_ome.cli.info import describe
    from heatmaps_ome.errors import HeatmapsError

    _validate(path)
    with contextlib.suppress(HeatmapsError):
        describe(path)
    dict(heatmaps_ome.open(path).failed)


def _validate(path: Path) -> None:
    from heatmaps_ome.errors import ResultError
    from heatmaps_ome.validate.result import validate

    with contextlib.suppress(ResultError):
        validate(path)


def _create(*options: str) -> Callable[[Path], None]:
    """Return a reader that gives a file to ``create``, none of whose slides exist."""

    def read(path: Path) -> None:
        from heatmaps_ome.cli import main

        model = _model(path, path.parent)
        words = ["-m", model, "-t", "tumour", "-o", path.parent / "out", "--extractor", "tiny"]
        texts = io.StringIO()
        with contextlib.redirect_stdout(texts), contextlib.redirect_stderr(texts):
            try:
                main.create([*map(str, words), *options, str(path)])
            except SystemExit as error:
                if error.code not in (1, 2):
                    raise

    return read


FORMATS = {
    "model-pkl": Format(_model, _read_model),
    "model-safetensors": Format(_converted, _read_model),
    "checkpoint-zip": Format(_checkpoint(of_old=False), _read_model),
    "checkpoint-of-old": Format(_checkpoint(of_old=True), _read_model),
    "weights-pth": Format(_weights, _read_weights),
    "scaling": Format(_scaling, _read_scaling),
    "list": Format(_list, _create("--from-file")),
    "table": Format(_table, _create("--slides")),
    "values-0.4": Format(_copy("*.values.ome.zarr"), _read_store),
    "values-0.5": Format(_values_0_5, _read_store),
    "image": Format(_image, _validate),
    "result": Format(_result, _read_result),
    "run": Format(_run_json, _read_run),
    "value-tiff": Format(_copy("*.values.ome.tiff"), _validate),
    "overlay": Format(_copy("*.attention.ome.tiff"), _validate),
}
"""All formats; slides are read by OpenSlide, which has fuzzing of its own."""


class Attack:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


def damaged(data: bytes, name: str, mark: Path, rng: np.random.Generator) -> bytes:
    """Return a file's content with some damage; sometimes none, or with code to run."""
    is_zip = data[:2] == b"PK"
    if is_zip and rng.random() < 0.7:
        return _damaged_zip(data, mark, rng)
    if (name.endswith(".json") or name.startswith(".z")) and rng.random() < 0.8:
        with contextlib.suppress(ValueError):
            return json.dumps(_damaged_json(json.loads(data), rng)).encode()
    return _damaged_bytes(data, rng)


def _damaged_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes that are changed, cut, repeated, or whose numbers are extreme."""
    content = bytearray(data)
    for _ in range(1 + rng.integers(4)):
        size = len(content)
        # Headers are at the beginning of most formats.
        place = int(
            rng.integers(size + 1) if rng.random() < 0.5 else rng.integers(min(size, 64) + 1)
        )
        extreme = (b"\xff\xff\xff\x7f", b"\xff" * 8, bytes(8), b"\x00\x00\x00\x80")
        match int(rng.integers(6)):
            case 0:
                content[place : place + 1] = bytes([int(rng.integers(256))])
            case 1:
                del content[place:]
            case 2:
                del content[place : place + int(rng.integers(1, 64))]
            case 3:
                content[place:place] = rng.bytes(int(rng.integers(1, 64)))
            case 4:
                some = extreme[int(rng.integers(len(extreme)))]
                content[place : place + len(some)] = some
            case 5:
                content[place:place] = content[place : place + int(rng.integers(1, 256))]
    return bytes(content)


def _damaged_zip(data: bytes, mark: Path, rng: np.random.Generator) -> bytes:
    """Return an archive one of whose files is damaged, or has code in front."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        names = old.namelist()
        pickles = [name for name in names if name.endswith(".pkl")]
        chosen = pickles[0] if rng.random() < 0.7 else names[int(rng.integers(len(names)))]
        for name in names:
            content = old.read(name)
            if name == chosen and name in pickles and rng.random() < 0.3:
                attack = pickle.dumps(Attack(mark), protocol=2)[2:-1] + b"0"
                content = content[:2] + attack + content[2:]
            elif name == chosen:
                content = _damaged_bytes(content, rng)
            new.writestr(name, content)
    return target.getvalue()


EXTREMES = (
    None, True, -1, 0, 2**31, 2**63, 1e308, "", "x", [], {}, [[]], "../../etc/passwd", "/dev/zero",
    float("nan"), "\x1b[31m", "|O", [{"id": "pickle"}], {"id": "pickle"}, 97777, 4,
)  # fmt: skip


def _damaged_json(content: Any, rng: np.random.Generator) -> Any:
    """Return JSON values some of which are missing, or of another type or size."""
    for _ in range(1 + rng.integers(3)):
        place = content
        while isinstance(place, dict | list) and place:
            keys = [*place] if isinstance(place, dict) else range(len(place))
            key = keys[int(rng.integers(len(keys)))]
            inner = place[key]
            if isinstance(inner, dict | list) and inner and rng.random() < 0.85:
                place = inner
                continue
            if rng.random() < 0.25:
                del place[key]
            else:
                place[key] = EXTREMES[int(rng.integers(len(EXTREMES)))]
            break
    return content


def _files(sample: Path) -> list[Path]:
    """Return the files of a sample; metadata as often as all chunks together."""
    if sample.is_file():
        return [sample]
    files = sorted(path for path in sample.rglob("*") if path.is_file())
    facts = [path for path in files if path.suffix in (".json", ".xml") or path.name[0] == "."]
    return files + facts * max(1, len(files) // len(facts))


class _Watch:
    """Notes the events by which code would run or leave, while a file is read."""

    def __init__(self, mark: Path) -> None:
        self._mark, self._events, self._reading = mark, [""], False
        # Python has no way to remove a hook.
        sys.addaudithook(self._hook)

    def _hook(self, event: str, _: tuple[Any, ...]) -> None:
        if self._reading and event.startswith(CODE):
            self._events.append(event)

    @contextlib.contextmanager
    def reading(self) -> Iterator[list[str]]:
        """Give the list of events, which is complete at the end."""
        self._events, self._reading = [], True
        try:
            yield self._events
        finally:
            self._reading = False
            if self._mark.exists():
                self._events.append("mark")
                self._mark.unlink()


def fuzzed(name: str, results: Path, cases: int, seed: int) -> Counts:
    """Return what the readers of a format do with damaged copies of a sample of it."""
    from heatmaps_ome.errors import HeatmapsError

    form, counts = FORMATS[name], Counts()
    rng = np.random.default_rng([seed, *name.encode()])
    with tempfile.TemporaryDirectory() as scratch:
        folder, mark = Path(scratch), Path(scratch) / "ran"
        watch = _Watch(mark)
        (folder / "good").mkdir()
        sample = form.sample(results, folder / "good")
        form.read(sample)
        counts.start_mib = _peak_mib()
        for _ in range(cases):
            case = folder / "case" / sample.name
            (shutil.copytree if sample.is_dir() else _copied)(sample, case)
            files = _files(case)
            for path in {files[int(n)] for n in rng.integers(len(files), size=1 + rng.integers(2))}:
                path.write_bytes(damaged(path.read_bytes(), path.name, mark, rng))
            with watch.reading() as events:
                try:
                    with _in_time():
                        form.read(case)
                    counts.read += 1
                except HeatmapsError:
                    counts.refused += 1
                except TimeoutError:
                    counts.too_long += 1
                except Exception as error:  # noqa: BLE001
                    where = traceback.extract_tb(error.__traceback__)[-1]
                    text = f"{type(error).__name__} in {Path(where.filename).name}:{where.lineno}"
                    counts.tracebacks[text] = counts.tracebacks.get(text, 0) + 1
            for event in events:
                counts.code_run[event] = counts.code_run.get(event, 0) + 1
            shutil.rmtree(folder / "case")
    counts.peak_mib = _peak_mib()
    return counts


def _peak_mib() -> float:
    """Return the most memory that this process has had so far."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True)
    shutil.copyfile(source, target)


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Raise TimeoutError where a case takes too long."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(CASE_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def known_formats() -> list[str]:
    """Return the formats that this version reads."""
    from dataclasses import fields

    from heatmaps_ome.options import CreateOptions

    options = {option.name for option in fields(CreateOptions)}
    return [name for name in FORMATS if name != "table" or "table" in options]


def main() -> int:
    """Fuzz each format in a process of its own, and print a line for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("formats", nargs="*", metavar="FORMAT", help=", ".join(FORMATS))
    parser.add_argument("--cases", type=int, default=1000, help="files of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="a run; without it the demo is run")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        counts = fuzzed(options.formats[0], options.results, options.cases, options.seed)
        print(json.dumps(asdict(counts)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        results = options.results or Path(folder) / "demo"
        if options.results is None:
            demo = [sys.executable, "-m", "heatmaps_ome.cli.main", "demo", "-o", str(results)]
            subprocess.run(demo, check=True, stdout=subprocess.DEVNULL)
        good = True
        for name in options.formats or known_formats():
            words = [name, "--results", results, "--cases", options.cases, "--seed", options.seed]
            done = subprocess.run(
                [sys.executable, __file__, "--one", *map(str, words)],
                stdout=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
            # The last line; a process that died has none.
            last = done.stdout.strip().rpartition("\n")[2] if done.returncode == 0 else "null"
            record = json.loads(last)
            counts = None if record is None else Counts(**record)
            print(name, counts if counts is not None else f"DIED ({done.returncode})", flush=True)
            good = good and counts is not None and counts.is_good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
