"""Slides shared between Dask's workers: the same results, whatever happens to workers."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
import torch
from beside_runs import content
from crew_preload import DEADLY, DEADLY_ONCE, HANGING
from distributed import LocalCluster
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

import heatmaps_ome
from heatmaps_ome import extractors
from heatmaps_ome.cli.main import main
from heatmaps_ome.errors import HeatmapsError, OptionError, OutputError, WorkersError
from heatmaps_ome.run.cluster.crew import Crew
from heatmaps_ome.run.cluster.opening import SETTINGS
from heatmaps_ome.run.cluster.queue_file import queue_of

SUPPORT = Path(__file__).parents[1] / "support"
PRELOAD = str(SUPPORT / "crew_preload.py")
NAMES = tuple("abcde")
OPTIONS = {
    "extractor": "mean-colour", "block_size": 256, "formats": ("ome-zarr", "cells", "report"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def mean_colour(monkeypatch):
    """Know the extractor in this process too."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "crew_preload:load")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Compute in one thread, as the workers here: torch rounds small products by its threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Return a folder of small slides, one of them broken, and a model."""
    folder = tmp_path_factory.mktemp("slides")
    for seed, name in enumerate(NAMES):
        write_slide(folder / f"{name}.svs", speckled(330, 300, seed))
    (folder / "c.svs").write_bytes(b"no slide")
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    return folder


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Return the address of a scheduler with two workers, which the run does not start."""
    first = tmp_path_factory.mktemp("first") / "ended"
    with (
        pytest.MonkeyPatch.context() as patch,
        dask.config.set({"distributed.worker.preload": [PRELOAD], **SETTINGS}),
    ):  # fmt: skip
        patch.setenv("CREW_FIRST", str(first))
        with LocalCluster(
            n_workers=2, threads_per_worker=1, memory_limit=0, dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster:  # fmt: skip
            yield cluster.scheduler_address


@pytest.fixture(scope="module")
def alone(slides, tmp_path_factory):
    """Return what one process makes of all slides, and the reasons of failures."""
    out = tmp_path_factory.mktemp("alone") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.REGISTRY, "mean-colour", "crew_preload:load")
        return out, create(slides, out).failed


def create(folder, out, names=NAMES, **options):
    paths = [folder / f"{name}.svs" for name in names]
    return heatmaps_ome.create(
        paths, folder / "export.pkl", CLASSES[0], out, **{**OPTIONS, **options}
    )


def coloured(path, colour):
    """Write a slide with tissue of a colour."""
    rgb = speckled(330, 300)
    noise = np.random.default_rng(0).integers(-9, 9, (330, 200, 1))
    rgb[:, :200] = (np.asarray(colour) + noise).clip(0, 255)
    return write_slide(path, rgb)


def test_workers_make_what_one_process_makes(slides, alone, address, tmp_path, caplog):
    results = create(slides, tmp_path / "out", scheduler=address)
    assert content(tmp_path / "out") == content(alone[0])
    assert results.failed == alone[1]
    assert sorted(results.failed) == ["c.svs"]
    assert "c.svs ends in .svs, but" in caplog.text
    record = next((tmp_path / "out" / "runs").iterdir()).read_text()
    assert address not in record
    again = create(slides, tmp_path / "out", scheduler=address)
    assert again.failed == alone[1]
    assert content(tmp_path / "out") == content(alone[0])


def test_stages_share_their_slides_too(slides, alone, address, tmp_path):
    out, words = tmp_path / "out", ["--scheduler", address]
    paths = [str(slides / f"{name}.svs") for name in NAMES]
    given = [
        "-m", str(slides / "export.pkl"), "-t", CLASSES[0], "--extractor", "mean-colour",
        "--block-size", "256", "--formats", ",".join(OPTIONS["formats"]),
    ]  # fmt: skip
    assert main(["maps", *paths, "-o", str(out), *given, *words]) == 1
    assert main(["fit", str(out)]) == 0
    assert main(["draw", str(out), *words]) == 0
    assert main(["collect", str(out)]) == 0
    assert content(out)["slides"] == content(alone[0])["slides"]


@pytest.mark.slow
def test_a_slide_that_ends_or_holds_its_worker_fails_alone(slides, address, tmp_path, caplog):
    folder = tmp_path
    for name in "abd":
        (folder / f"{name}.svs").symlink_to(slides / f"{name}.svs")
    (folder / "export.pkl").symlink_to(slides / "export.pkl")
    for name, colour in (("k", DEADLY), ("o", DEADLY_ONCE), ("h", HANGING)):
        coloured(folder / f"{name}.svs", colour)
    results = create(
        folder, folder / "out", "hkabod", scheduler=address, retries=1, slide_timeout="25s"
    )
    assert sorted(results) == ["a", "b", "d", "o"], results.failed
    assert sorted(results.failed) == ["h.svs", "k.svs"]
    assert "it ended its worker process 2 times" in results.failed["k.svs"]
    assert "it took longer than 25 s, the limit of --slide-timeout" in results.failed["h.svs"]
    assert "o.svs: its worker died; it is tried again" in caplog.text


CHILD = """
import sys
sys.path[:0] = {paths!r}
if __name__ == "__main__":
    import os
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})  # one core, so one thread
    import dask
    from heatmaps_ome import extractors
    from heatmaps_ome.cli import main as cli
    dask.config.set({{"distributed.worker.preload": [{preload!r}]}})
    extractors.REGISTRY["mean-colour"] = "crew_preload:load"
    sys.exit(cli.main({words!r}))
"""


def started(slides, out, tmp_path, sleep):
    """Return the process of a run with a worker of its own."""
    words = [
        "create", *(str(slides / f"{name}.svs") for name in NAMES), "-m",
        str(slides / "export.pkl"), "-t", CLASSES[0], "--extractor", "mean-colour",
        "--block-size", "256", "--formats", ",".join(OPTIONS["formats"]), "-o", str(out),
        "--workers", "1",
    ]  # fmt: skip
    paths = [str(SUPPORT), str(Path(heatmaps_ome.__file__).parents[1])]
    script = tmp_path / "child.py"
    script.write_text(CHILD.format(paths=paths, preload=PRELOAD, words=words))
    environment = {**os.environ, "CREW_SLEEP_S": str(sleep)}
    return subprocess.Popen(
        [sys.executable, script], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip


def wait_for(happens, child, seconds=120):
    end = time.monotonic() + seconds
    while not happens():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_run_leaves_no_process_and_goes_on(slides, alone, address, tmp_path):
    out = tmp_path / "out"
    child = started(slides, out, tmp_path, sleep=1)
    wait_for(lambda: list((out / ".maps").glob("[a-e]")), child)
    processes = psutil.Process(child.pid).children(recursive=True)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []
    assert len(processes) >= 2
    assert not (out / "a").exists()
    create(slides, out, scheduler=address)
    assert content(out) == content(alone[0])


@pytest.mark.slow
def test_an_interrupted_run_ends_its_workers(slides, tmp_path):
    out = tmp_path / "out"
    child = started(slides, out, tmp_path, sleep=3)
    wait_for(lambda: list((out / ".cache").glob("*")), child)
    processes = psutil.Process(child.pid).children(recursive=True)
    os.killpg(child.pid, signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert err.endswith("heatmaps-ome: stopped; the same command goes on from here\n")
    assert "Traceback" not in err
    assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_a_scheduler_that_is_not_there_is_refused_soon(slides, tmp_path):
    since = time.monotonic()
    with pytest.raises(
        WorkersError, match=r"no Dask scheduler at tcp://127\.0\.0\.1:9 that answers"
    ):
        create(slides, tmp_path / "out", scheduler="tcp://127.0.0.1:9")
    assert time.monotonic() - since < 60
    with pytest.raises(WorkersError, match="no Dask scheduler at nowhere"):
        create(slides, tmp_path / "out", scheduler="nowhere")


def test_other_versions_are_refused(slides, address, tmp_path, monkeypatch):
    import distributed

    monkeypatch.setattr(
        distributed.Client, "get_versions",
        lambda self, **_: {
            "client": {"packages": {"python": "3.11.7", "dask": "1", "distributed": "2"}},
            "scheduler": {"packages": {"python": "3.11.2", "dask": "1", "distributed": "3"}},
        },
    )  # fmt: skip
    with pytest.raises(WorkersError, match="has distributed 3, and here it is 2"):
        create(slides, tmp_path / "out", scheduler=address)


def test_without_dask_the_command_to_install_it_is_given(slides, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match=r"--workers needs distributed.*heatmaps-ome\[cluster\]"):
        create(slides, tmp_path / "out", workers=2)


def test_a_queue_leaves_ctrl_c_as_it_was():
    program = (
        "import signal\n"
        "from heatmaps_ome.run.cluster.queue_file import jobqueue\n"
        # Shells have programs in the background ignore Ctrl-C, and children inherit it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "jobqueue().SLURMCluster\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_a_run_with_workers_imports_dask():
    package = Path(heatmaps_ome.__file__).parent
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        at_once = {line for line in text.splitlines() if line.startswith(("import ", "from "))}
        names = {line.split()[1].split(".")[0] for line in at_once}
        assert not names & {"dask", "distributed", "dask_jobqueue", "yaml"}, path
        if path.parent.name != "cluster":
            assert not any("cluster." in line for line in at_once - {WORKERS_ASKED}), path


WORKERS_ASKED = "from heatmaps_ome.run.cluster.request import workers_of"
"""What was asked for is known without Dask."""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"workers": 2, "scheduler": "tcp://a:1"}, "--workers contradicts --scheduler"),
        ({"scheduler": "tcp://a:1", "cluster": "slurm"}, "--scheduler contradicts --cluster"),
        ({"workers": 2, "devices": "cuda:0,cuda:1"}, "--devices contradicts --workers"),
        ({"retries": 1}, "--retries needs --workers"),
        ({"slide_timeout": "1h"}, "--slide-timeout needs --workers"),
        ({"workers": 2, "slide_timeout": "soon"}, "--slide-timeout: unknown 'soon'"),
        ({"workers": 2, "slide_timeout": "0.5s"}, "give a second or more"),
        ({"workers": 0}, "--workers is 0"),
        ({"cluster": "slum"}, "did you mean slurm"),
        ({"cluster": "slurm"}, "how many workers"),
        ({"workers": 500, "max_memory": 8.0}, "ask for fewer"),
    ],
)
def test_what_cannot_be_meant_is_refused(slides, tmp_path, options, reason):
    with pytest.raises(HeatmapsError, match=reason):
        create(slides, tmp_path / "out", **options)


class Described:
    """A future of a worker's facts."""

    status = "finished"

    def __init__(self, **facts):
        self.facts = {"host": "here", "gpus": (), "precision": "bfloat16", **facts}

    def done(self):
        return True

    def result(self):
        return self.facts


class SomeWorkers:
    """A client of a scheduler whose workers have described themselves."""

    def __init__(self, gpus):
        self.gpus = gpus

    def nthreads(self):
        return dict.fromkeys(self.gpus, 1)

    def submit(self, *_, workers, **__):
        return Described(gpus=self.gpus[workers[0]])


def test_a_gpu_has_one_worker_and_others_only_draw():
    two = (("GPU-1", "cuda:0"), ("GPU-2", "cuda:1"))
    # "d" is in a container of its own, where its GPU has the first number.
    client = SomeWorkers({"a": two, "b": two, "c": two, "d": (("GPU-3", "cuda:0"),), "e": ()})
    crew = Crew(client, "auto", "auto", (".", "marker"), is_ours=False)
    crew.first(5)
    makers = {one.address: (one.gpu, one.device) for one in crew.idle(makes=True)}
    assert makers == {
        "a": ("GPU-1", "cuda:0"), "b": ("GPU-2", "cuda:1"), "d": ("GPU-3", "cuda:0"),
    }  # fmt: skip
    assert [one.address for one in crew.idle(makes=False)] == list("abcde")
    del client.gpus["a"]
    crew.look()
    assert {one.address: one.gpu for one in crew.idle(makes=True)}["c"] == "GPU-1"


def test_a_worker_that_lacks_something_takes_no_part(caplog):
    class Lacking(Described):
        status = "error"

        def exception(self):
            return OutputError("the worker on b does not have out")

    class Two(SomeWorkers):
        def submit(self, *rest, workers, **more):
            return Lacking() if workers == ["b"] else super().submit(workers=workers)

    crew = Crew(Two({"a": (), "b": ()}), "auto", "auto", (".", "marker"), is_ours=False)
    crew.first(1)
    assert [one.address for one in crew.idle(makes=False)] == ["a"]
    assert caplog.messages == ["the worker on b does not have out; it takes no part"]
    crew = Crew(Two({"b": ()}), "auto", "auto", (".", "marker"), is_ours=False)
    with pytest.raises(OutputError, match="the worker on b does not have out"):
        crew.first(1)


def test_without_gpus_all_workers_make_maps():
    crew = Crew(
        SomeWorkers(dict.fromkeys("abcd", ())), "auto", "auto", (".", "x"), is_ours=False
    )  # fmt: skip
    crew.first(4)
    assert [one.device for one in crew.idle(makes=True)] == ["cpu"] * 4


QUEUE = """
system: slurm
jobs: 3
cores: 8
memory: 32 GiB
processes: 2
queue: gpu
account: p1
walltime: "04:00:00"
job_extra_directives: ["--gres=gpu:2"]
job_script_prologue: ["module load cuda"]
"""


def test_a_file_describes_jobs(tmp_path):
    path = tmp_path / "slurm.yaml"
    path.write_text(QUEUE)
    queue = queue_of(str(path))
    assert (queue.system, queue.jobs) == ("slurm", 3)
    with queue.cluster(tmp_path) as cluster:
        script = cluster.job_script()
    for line in (
        "#SBATCH -p gpu", "#SBATCH -A p1", "#SBATCH -t 04:00:00", "#SBATCH --gres=gpu:2",
        "#SBATCH --cpus-per-task=8", "#SBATCH --mem=32G", "module load cuda",
        "export DASK_DISTRIBUTED__WORKER__MEMORY__PAUSE=False",
    ):  # fmt: skip
        assert line in script.splitlines(), script
    assert "--nthreads 4 " in script
    assert "--nworkers 2 " in script
    assert "tls://" in script


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("system: slurm\ncore: 8", "unknown key 'core'; did you mean cores"),
        ("system: slurm\nscheduler: x", "unknown key 'scheduler'"),
        ("jobs: 8", "no usable system"),
        ("system: slurm\njobs: none", "jobs: 'none'; give a whole number"),
        ("- slurm", "holds no keys"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_in_a_sentence(tmp_path, text, reason):
    path = tmp_path / "queue.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=reason):
        queue_of(str(path))


def test_jobs_without_cores_are_refused(tmp_path):
    path = tmp_path / "queue.yaml"
    path.write_text("system: pbs\njobs: 1")
    with pytest.raises(OptionError, match="cores of a job is not given; give cores: in"):
        queue_of(str(path)).cluster(tmp_path)
