"""Stands in for SLURM: ``sbatch`` with its rules, and a controller that runs what is queued.

As strict as slurm.schedmd.com/sbatch.html where it can hurt: unknown options are refused, #SBATCH
lines count up to the first command only, the command line counts more, scripts run as copies in a
spool folder and in the folder of submission, logs need their folder, and a job whose dependency can
never be met is cancelled with --kill-on-invalid-dep=yes and waits for ever without.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STATE = "FAKE_SLURM"
"""Environment variable: the controller's folder."""
VALUED = (
    "job-name", "array", "gres", "export", "dependency", "kill-on-invalid-dep", "cpus-per-task",
    "mem", "time", "output", "open-mode", "partition", "account", "signal",
)  # fmt: skip
FLAGS = ("parsable", "requeue")


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(1, f"sbatch: error: {message}\n")


def _parser():
    parser = Parser(prog="sbatch", allow_abbrev=False, add_help=False)
    for name in VALUED:
        parser.add_argument(f"--{name}")
    for name in FLAGS:
        parser.add_argument(f"--{name}", action="store_true", default=None)
    parser.add_argument("script")
    parser.add_argument("words", nargs=argparse.REMAINDER)
    return parser


def _lines_of_script(script):
    """Return the options that a script has in its #SBATCH lines."""
    words = []
    for line in script.read_text().splitlines():
        if line.startswith("#SBATCH"):
            words += shlex.split(line.removeprefix("#SBATCH"), comments=True)
        elif line.strip() and not line.startswith("#"):
            break
    return words


def _tasks(array):
    """Return the numbers of an array's tasks."""
    tasks = []
    for part in array.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise SystemExit(
                f"sbatch: error: Batch job submission failed: Invalid job array {array}"
            )
        tasks += range(int(match[1]), int(match[2] or match[1]) + 1)
    return tasks


def _dependency(text, jobs):
    match = re.fullmatch(r"(afterok|afterany)((?::\d+)+)", text)
    ids = match[2].strip(":").split(":") if match else []
    if match is None or any(not (jobs / f"{job}.json").exists() for job in ids):
        raise SystemExit("sbatch: error: Batch job submission failed: Job dependency problem")
    return match[1], ids


def sbatch(words):
    """Queue a job, as the command does."""
    jobs = Path(os.environ[STATE])
    own = _parser().parse_args(words)
    script = Path(own.script)
    if not script.is_file():
        raise SystemExit(f"sbatch: error: Unable to open file {script}")
    if not script.read_text().startswith("#!"):
        raise SystemExit("sbatch: error: This does not look like a batch script.")
    given = vars(_parser().parse_args([*_lines_of_script(script), str(script)]))
    given |= {name: value for name, value in vars(own).items() if value not in (None, [])}
    number = 100 + len(list(jobs.glob("*.json")))
    spool = jobs / f"{number}.script"
    shutil.copy(script, spool)
    after = given.get("dependency")
    job = {
        "id": str(number),
        "name": given["job_name"] or script.name,
        "tasks": _tasks(given["array"]) if given["array"] else None,
        "after": _dependency(after, jobs) if after else None,
        "kill": given["kill_on_invalid_dep"] == "yes",
        "command": ["bash", str(spool), *own.words],
        "output": given["output"] or "slurm-%A_%a.out",
        "append": given["open_mode"] == "append",
        "environment": _environment(given),
        "folder": str(Path.cwd()),
    }
    (jobs / f"{number}.json").write_text(json.dumps(job))
    sys.stdout.write(f"{'' if given['parsable'] else 'Submitted batch job '}{number}\n")


def _environment(given):
    names = (given["export"] or "ALL").split(",")
    out = dict(os.environ) if names[0] == "ALL" else {}
    for name, is_set, value in (text.partition("=") for text in names if text != "ALL"):
        out[name] = value if is_set else os.environ.get(name, "")
    if given["cpus_per_task"]:
        out["SLURM_CPUS_PER_TASK"] = given["cpus_per_task"]
    return out


@dataclass
class Slurm:
    """The controller.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    def __post_init__(self):
        (self.folder / "bin").mkdir(parents=True)
        (self.folder / "jobs").mkdir()
        self.command("sbatch", f'exec "{sys.executable}" "{__file__}" "$@"')
        self.started = []

    def command(self, name, text):
        """Put a command on the path of all jobs."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)

    @property
    def environment(self):
        path = f"{self.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, STATE: str(self.folder / "jobs")}

    def submit(self, *words, cwd=None):
        """Run a command that submits jobs, and return it when it has ended."""
        return subprocess.run(
            list(map(str, words)), capture_output=True, text=True, check=False, cwd=cwd,
            env=self.environment,
        )  # fmt: skip

    def run(self, states=None):
        """Run all queued jobs as their dependencies allow, and return their states by names."""
        states = {} if states is None else states
        jobs = [json.loads(p.read_text()) for p in sorted((self.folder / "jobs").glob("*.json"))]
        for job in jobs:
            if job["id"] not in states:
                states[job["id"]] = self._ended(job, states)
        return {job["name"]: states[job["id"]] for job in jobs}

    def _ended(self, job, states):
        """Return a job's state after it ended; jobs depend on earlier ones only."""
        if job["after"] is not None:
            kind, ids = job["after"]
            if any(states[other] == "PENDING" for other in ids):
                return "PENDING"
            if kind == "afterok" and any(states[other] != "COMPLETED" for other in ids):
                return "CANCELLED" if job["kill"] else "PENDING"
        processes = [self.start(job, task) for task in job["tasks"] or [None]]
        codes = [process.wait() for process in processes]
        return "COMPLETED" if codes == [0] * len(codes) else "FAILED"

    def start(self, job, task):
        """Start a task in a session of its own, as slurmstepd does."""
        self.started.append(job["name"])
        environment = job["environment"] | {
            "SLURM_JOB_ID": job["id"], "SLURM_JOB_NAME": job["name"],
            "SLURM_SUBMIT_DIR": job["folder"],
        }  # fmt: skip
        number = "4294967294"
        if task is not None:
            number = str(task)
            environment |= {
                "SLURM_ARRAY_JOB_ID": job["id"], "SLURM_ARRAY_TASK_ID": number,
                "SLURM_ARRAY_TASK_COUNT": str(len(job["tasks"])),
                "SLURM_ARRAY_TASK_MIN": str(min(job["tasks"])),
                "SLURM_ARRAY_TASK_MAX": str(max(job["tasks"])),
            }  # fmt: skip
        name = job["output"]
        for mark, text in (
            ("%A", job["id"]), ("%a", number), ("%j", job["id"]), ("%x", job["name"]),
        ):  # fmt: skip
            name = name.replace(mark, text)
        # A log in a folder that is not there fails the job.
        with (Path(job["folder"]) / name).open("ab" if job["append"] else "wb") as log:
            return subprocess.Popen(
                job["command"], cwd=job["folder"], env=environment, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip

    @staticmethod
    def cancel(process):
        """Signal all processes of a task, as a time limit or a preemption does."""
        os.killpg(process.pid, signal.SIGTERM)


if __name__ == "__main__":
    sbatch(sys.argv[1:])
