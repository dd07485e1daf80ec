# SPDX-License-Identifier: GPL-2.0-only
"""Checks scripts/vm: what it says is what all other checks rely on."""

import os
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest
from conftest import ROOT

VM = ROOT / "scripts/vm"
CRASH = "/sys/kernel/debug/provoke-crash/DIRECT"
WORDS = ["a b", "", ";", '"', "'", "$HOME", "\\", "line\nbreak", "*", "é"]
# Two processes run the tests side by side (pytest-xdist), each with machines of its own name.
os.environ["VM_NAME"] = os.environ.get("PYTEST_XDIST_WORKER", "tests")
SCRATCH = ROOT / "build" / f"vm-{os.environ['VM_NAME']}" / "scratch"
# These tests look at the same machine, so one process runs them.
ONE_MACHINE = pytest.mark.xdist_group("machine")


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Runs one machine, and returns what came of it."""
    directory = tmp_path_factory.mktemp("machine")
    script = """printf "<%s>" "$@"; echo; echo to stderr >&2; pwd; echo kept >"$VM_SCRATCH/file"
        ! touch "$0" 2>/dev/null && ! touch /usr/touched 2>/dev/null && exit 7"""
    out = directory / "out"
    out.write_text("before\n")
    with out.open("a") as stdout, (directory / "err").open("w") as stderr:
        done = subprocess.run(
            [VM, "--", "sh", "-c", script, ROOT / "touched", *WORDS],
            env={**os.environ, "VM_LEDGER": str(directory / "ledger")},
            stdout=stdout,
            stderr=stderr,
            check=False,
        )
    return SimpleNamespace(status=done.returncode, directory=directory)


@ONE_MACHINE
def test_arguments_arrive_as_they_are_the_root_file_system_is_read_only(machine):
    assert machine.status == 7
    assert "".join(f"<{word}>" for word in WORDS) in (machine.directory / "out").read_text()


@ONE_MACHINE
def test_stdout_stderr_status_scratch_directory(machine):
    lines = (machine.directory / "out").read_text().splitlines()
    assert [lines[0], lines[-1]] == ["before", os.getcwd()]
    assert "to stderr" in (machine.directory / "err").read_text().splitlines()
    assert (SCRATCH / "file").read_text() == "kept\n"


@ONE_MACHINE
def test_the_ledger_has_an_object_for_each_machine(machine):
    ledger = (machine.directory / "ledger").read_text()
    assert ledger == '{"debug_locks": 1, "reports": 0}\n'


def test_a_warning_ends_with_90(run):
    done = run(VM, "--", "sh", "-c", f"echo WARNING >{CRASH}", status=90)
    assert "WARNING: CPU:" in done.output
    # The log itself, too: its trace
    assert "lkdtm_do_action" in done.output


def test_a_panic_ends_with_90(run):
    done = run(VM, "--", "sh", "-c", f"echo PANIC >{CRASH}", status=90)
    assert "Kernel panic" in done.output


def test_the_time_limit_ends_with_124(run):
    started = time.monotonic()
    run(VM, "--timeout", 20, "--", "sleep", "999", status=124)
    # Thrice that: on a busy machine it takes a while to stop an emulated one.
    assert time.monotonic() - started <= 60


def test_an_image_that_does_not_boot_is_not_a_success(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(4 << 20))
    done = subprocess.run([VM, "--timeout", "8", "--image", image, "--", "true"], check=False)
    assert done.returncode in (124, 125)


def test_kvm_does_not_work_where_machines_are_emulated():
    env = {**os.environ, "VM_EMULATED": "1"}
    assert subprocess.run([VM, "--kvm-works"], env=env, check=False).returncode == 1


def with_qemu(run, directory, times, script, status, env=None):
    """Runs a command that exits with 5, where the first so many starts of QEMU are a script instead."""
    left = directory / "left"
    left.write_text(str(times))
    fake = directory / "qemu-system-x86_64"
    fake.write_text(
        f"""#!/bin/bash
left=$(<"{left}")
if [[ " $* " == *" -kernel "* ]] && ((left)); then
	printf '%s' "$((left - 1))" >"{left}"
	{script}
fi
exec "{shutil.which("qemu-system-x86_64")}" "$@"
"""
    )
    fake.chmod(0o755)
    path = {"PATH": f"{directory}:{os.environ['PATH']}"}
    return run(VM, "--", "sh", "-c", "echo done; exit 5", status=status, env={**path, **(env or {})})


def test_qemu_crashes_while_the_machine_starts_once_more(run, tmp_path):
    done = with_qemu(run, tmp_path, 1, "kill -SEGV $$", 5)
    assert "QEMU crashed before the command began" in done.output


def test_qemu_crashes_each_time_an_error(run, tmp_path):
    done = with_qemu(run, tmp_path, 2, "kill -SEGV $$", 125)
    assert "QEMU crashed before the command began" in done.output


def test_the_machine_hangs_while_it_starts_once_more(run, tmp_path):
    done = with_qemu(run, tmp_path, 1, "exec sleep 999", 5, {"VM_BOOT_LIMIT": "5"})
    assert "the command did not begin within 5 s" in done.output
