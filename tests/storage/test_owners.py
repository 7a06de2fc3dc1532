"""Whether the process that a file belongs to still runs is known from the file's name."""

import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

from heatmaps_ome.storage import owners
from heatmaps_ome.storage.owners import Owner, owner_of_this_process


@pytest.fixture
def child():
    """Return a process that runs until its input ends."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process


def owner_of(pid):
    return replace(owner_of_this_process(), pid=pid, started=owners._started(pid))


def test_this_process_is_alive_and_has_one_label():
    owner = owner_of_this_process()
    assert owner.is_alive() is True
    assert owner.pid == os.getpid()
    assert owner == owner_of_this_process()
    assert Owner.from_label(owner.label) == owner


def test_labels_suit_every_file_system():
    owner = replace(owner_of_this_process(), pid=2**31, started=2**63)
    assert len(owner.label) < 90
    assert set(owner.label) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
    )


def forget(monkeypatch):
    """Let this machine and process be found out again."""
    for function in ("_host", "_owner"):
        monkeypatch.setattr(owners, function, getattr(owners, function).__wrapped__)


@pytest.mark.parametrize("name", ["node7.example.org", "Büro 3", "…", "x" * 300, ""])
def test_any_name_of_a_machine_makes_a_label(name, monkeypatch):
    monkeypatch.setattr(owners.platform, "node", lambda: name)
    forget(monkeypatch)
    owner = owner_of_this_process()
    assert Owner.from_label(owner.label) == owner
    assert owner.is_alive() is True


@pytest.mark.parametrize("label", ["", "1234", "a_b_c", "a_1", "a_1_2_3", "a/b_1_2", "a_1_2\n"])
def test_other_names_are_no_labels(label):
    with pytest.raises(ValueError, match="no label"):
        Owner.from_label(label)


def test_a_process_is_alive_until_it_ends(child):
    owner = owner_of(child.pid)
    assert owner.is_alive() is True
    child.communicate(b"\n")
    assert owner.is_alive() is False


def test_a_killed_process_is_dead_before_its_parent_has_noticed(child):
    owner = owner_of(child.pid)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_alive() is False
    child.wait()


def test_a_later_process_with_the_same_number_is_another():
    owner = owner_of_this_process()
    assert replace(owner, started=owner.started - 1).is_alive() is False


def test_of_another_machine_nothing_is_known():
    assert replace(owner_of_this_process(), host="node8-1").is_alive() is None


def test_containers_with_one_name_are_different_machines(monkeypatch):
    here = owner_of_this_process()
    monkeypatch.setattr(owners.Path, "stat", lambda _: os.stat_result((0, 7, *[0] * 8)))
    forget(monkeypatch)
    assert here.is_alive() is None


def test_without_proc_it_is_the_same(child, monkeypatch):
    monkeypatch.setattr(owners, "_started", owners._started_elsewhere)
    owner = owner_of(child.pid)
    assert owner.started > 10**12
    assert owner.is_alive() is True
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert owner.is_alive() is False
    child.wait()
    assert owner.is_alive() is False


def test_a_process_that_hides_counts_as_alive(monkeypatch):
    monkeypatch.setattr(owners, "_started", lambda _: None)
    assert replace(owner_of_this_process(), started=1).is_alive() is True
