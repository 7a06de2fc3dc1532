"""The examples for batch systems and orchestrators are valid, and call commands that exist."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heatmaps_ome.cli import main as cli
from heatmaps_ome.options import CollectOptions, DrawOptions, FitOptions, MapsOptions

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "scripts" / "cluster"
OPTIONS = {
    "maps": MapsOptions, "fit": FitOptions, "draw": DrawOptions, "collect": CollectOptions,
}  # fmt: skip
KUBERNETES = sorted((CLUSTER / "kubernetes").glob("*.yaml"))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="runs shell scripts of Linux")


@pytest.fixture
def calls(tmp_path):
    """Return a function that runs shell code, and returns the words that the program got."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "heatmaps-ome"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{tmp_path}/words"\nexit ${{CODE:-0}}\n')
    program.chmod(0o755)

    def run(code, **environment):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", "-euc", code], env=environment | {"PATH": path}, check=False, cwd=tmp_path
        )
        return (tmp_path / "words").read_text().splitlines(), done.returncode

    return run


def parsed(words):
    """Return the options of a command line of the program."""
    return cli.OptionsParser(OPTIONS[words[0]], "x", "").parse_args(words[1:])


def job(path):
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load(path.read_text())


def test_there_is_a_job_for_each_stage():
    assert [path.stem for path in KUBERNETES] == ["collect", "draw", "fit", "maps"]
    loop = re.search(r"for stage in (.*); do", (CLUSTER / "kubernetes" / "submit.sh").read_text())
    assert loop[1].split() == ["maps", "fit", "draw", "collect"]


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_jobs_of_kubernetes_call_their_stage_with_what_is_mounted(path, calls):
    spec = job(path)["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    mounts = {
        mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]
    }
    assert job(path)["metadata"]["name"] == f"heatmaps-{path.stem}"
    shards = []
    for index in range(spec.get("completions", 1)):
        if "command" in container:
            *shell, code = container["command"]
            assert shell == ["sh", "-c"]
            assert code.startswith("exec ")
            words, _ = calls(code, JOB_COMPLETION_INDEX=str(index))
        else:
            words = container["args"]
        options = parsed(words)
        assert words[0] == path.stem
        places = {word for word in words if word[0] == "/"}
        assert all(any(Path(p).is_relative_to(mount) for mount in mounts) for p in places)
        shards.append(getattr(options, "shard", None))
    assert mounts["/output"] is False
    if path.stem in ("maps", "draw"):
        count = spec["completions"]
        assert [str(shard) for shard in shards] == [f"{i}/{count}" for i in range(1, count + 1)]
        assert spec["completionMode"] == "Indexed"
    else:
        assert shards == [None]


def test_all_shards_of_kubernetes_are_drawn():
    counts = {job(path)["spec"].get("completions") for path in KUBERNETES}
    assert len(counts - {None}) == 1


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_jobs_of_kubernetes_fit_its_schema(path):
    validator = pytest.importorskip(
        "kubernetes_validate", reason="needs kubernetes-validate, which has Kubernetes' schemas"
    )
    validator.validate(job(path), validator.latest_version(), strict=True)


KUBECTL = """
echo "$1 $2 $3" >> "$LOG"
case $1 in
    get) tries=$(grep -c "^get $2" "$LOG"); [ $tries -lt 3 ] || echo "${ENDS:-Complete}";;
esac
"""


@pytest.mark.parametrize("ends", ["SuccessCriteriaMet Complete", "FailureTarget Failed"])
def test_stages_of_kubernetes_wait_for_the_one_before(tmp_path, ends):
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/bash\n{KUBECTL}")
    kubectl.chmod(0o755)
    log = tmp_path / "log"
    env = os.environ | {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "LOG": str(log), "ENDS": ends,
        "POLL_S": "0",
    }  # fmt: skip
    subprocess.run([CLUSTER / "kubernetes" / "submit.sh"], env=env, check=True, timeout=60)
    lines = log.read_text().splitlines()
    expected = []
    for stage in ("maps", "fit", "draw", "collect"):
        expected += [
            f"delete --ignore-not-found job/heatmaps-{stage}", f"apply --filename {stage}.yaml",
            *[f"get job/heatmaps-{stage} --output"] * 3,
        ]  # fmt: skip
    assert lines == expected


def compose():
    return job(CLUSTER / "compose.yaml")["services"]


def test_services_of_compose_call_the_stages(calls):
    shards, services = [], compose()
    for name in ("maps-1", "maps-2"):
        service = services[name]
        assert service["entrypoint"] == ["sh", "-c"]
        (code,) = service["command"]
        for ended, code_of_shell in ((0, 0), (1, 0), (137, 1)):
            words, code_there = calls(
                code.replace("$$", "$"), CODE=str(ended), **service["environment"]
            )
            assert code_there == code_of_shell
        shards.append(str(parsed(words).shard))
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device["device_ids"] == [str(int(name[-1]) - 1)]
    assert shards == ["1/2", "2/2"]
    (code,) = services["draw"]["command"]
    for part in re.findall(r"heatmaps-ome ([^|&;]+)", code):
        parsed(part.split())
    assert set(services["draw"]["depends_on"]) == {"maps-1", "maps-2"}


def test_the_file_of_compose_fits_its_schema(tmp_path):
    pytest.importorskip("check_jsonschema", reason="needs check-jsonschema, which has the schema")
    words = ["--builtin-schema", "vendor.compose-spec", str(CLUSTER / "compose.yaml")]
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *words], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("snakemake") is None, reason="needs snakemake")
def test_snakemake_runs_the_stages_in_order(tmp_path):
    log = tmp_path / "log"
    (tmp_path / "heatmaps-ome").write_text(f'#!/bin/sh\necho "$*" >> "{log}"\ntest "$1" != maps\n')
    (tmp_path / "heatmaps-ome").chmod(0o755)
    for name in ("cohort.csv", "m.pkl"):
        (tmp_path / name).touch()
    config = ["slides=cohort.csv", "model=m.pkl", "true_class=A", "output=out put", "shards=2"]
    subprocess.run(
        ["snakemake", "-s", CLUSTER / "Snakefile", "-j", "2", "--config", *config],
        cwd=tmp_path, check=True, capture_output=True,
        env=os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    lines = log.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["maps"] * 2 + ["fit"] + ["draw"] * 2 + [
        "collect"
    ]
    for line in lines:
        parsed(line.replace("out put", "out").split())


def test_every_command_of_snakemakes_file_exists():
    text = (CLUSTER / "Snakefile").read_text()
    rules = re.findall(r"heatmaps-ome (\w+)", text)
    assert sorted(rules) == ["collect", "draw", "fit", "maps"]
    joined = re.sub(r'"\s+"', "", text)
    for line in re.findall(r'"heatmaps-ome ([^"]+)"', joined):
        words = re.sub(r"\{wildcards.shard\}/\{SHARDS\}", "1/2", line).replace("{ACCEPT}", "")
        parsed(re.sub(r"\{params.options\}", "", words).split())


def nextflow(path, folder):
    """Return the tasks that a workflow has, as the stand-in for Nextflow's language runs it."""
    stand_in = ROOT / "tests" / "support" / "nextflow_language.groovy"
    given = {
        "slides": "co hort.csv", "model": "m.pkl", "true_class": "A", "output": "out",
        "shards": "2", "options": "--formats cells",
    }  # fmt: skip
    return subprocess.run(
        ["groovy", stand_in, path, json.dumps(given)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("groovy") is None, reason="needs groovy: scripts/install-viewers")
def test_nextflow_runs_the_stages_in_order(tmp_path, calls):
    done = nextflow(CLUSTER / "main.nf", tmp_path)
    assert done.returncode == 0, done.stderr[:500]
    tasks = json.loads(done.stdout)
    names = [task["process"] for task in tasks]
    assert names == ["MAPS", "MAPS", "FIT", "DRAW", "DRAW", "COLLECT"]
    shards = {}
    for task in tasks:
        words, _ = calls(task["command"])
        assert words[0].upper() == task["process"]
        options = parsed(words)
        shards.setdefault(words[0], []).append(str(getattr(options, "shard", None)))
        assert str(tmp_path / "out") in words  # tasks run in folders of their own
    assert shards["maps"] == shards["draw"] == ["1/2", "2/2"]
    command = next(task["command"] for task in tasks if task["process"] == "MAPS")
    assert [calls(command, CODE=code)[1] for code in ("0", "1", "137")] == [0, 0, 1]


@pytest.mark.skipif(shutil.which("groovy") is None, reason="needs groovy: scripts/install-viewers")
def test_the_stand_in_for_nextflow_refuses_what_is_no_workflow(tmp_path):
    text = (CLUSTER / "main.nf").read_text()
    (tmp_path / "wrong.nf").write_text(text.replace("maxRetries 2", "maxTries 2", 1))
    done = nextflow(tmp_path / "wrong.nf", tmp_path)
    assert done.returncode != 0
    assert "maxTries" in done.stderr
