# SPDX-License-Identifier: GPL-2.0-only
"""Checks scripts/vm: what it says is what all other checks rely on."""

import os
import shutil
import subprocess
import time

from conftest import ROOT

VM = ROOT / "scripts/vm"
CRASH = "/sys/kernel/debug/provoke-crash/DIRECT"
SCRATCH = ROOT / "build/vm/scratch"


def test_arguments_arrive_as_they_are_the_root_file_system_is_read_only():
    words = ["a b", "", ";", '"', "'", "$HOME", "\\", "line\nbreak", "*", "é"]
    script = """printf "<%s>" "$@"
        ! touch "$0" 2>/dev/null && ! touch /usr/touched 2>/dev/null"""
    done = subprocess.run(
        [VM, "--", "sh", "-c", script, ROOT / "touched", *words], stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == 0
    assert done.stdout.decode() == "".join(f"<{word}>" for word in words)


def test_stdout_stderr_status_scratch_directory(tmp_path):
    out = tmp_path / "out"
    out.write_text("before\n")
    script = 'echo to stdout; echo to stderr >&2; pwd; echo kept >"$VM_SCRATCH/file"; exit 7'
    with out.open("a") as stdout, (tmp_path / "err").open("w") as stderr:
        done = subprocess.run([VM, "--", "sh", "-c", script], stdout=stdout, stderr=stderr, check=False)
    assert done.returncode == 7
    assert out.read_text().splitlines() == ["before", "to stdout", os.getcwd()]
    assert "to stderr" in (tmp_path / "err").read_text().splitlines()
    assert (SCRATCH / "file").read_text() == "kept\n"
    (SCRATCH / "file").unlink()


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
    assert time.monotonic() - started <= 31


def test_an_image_that_does_not_boot_is_not_a_success(tmp_path):
    image = tmp_path / "image"
    image.write_bytes(bytes(4 << 20))
    done = subprocess.run([VM, "--timeout", "8", "--image", image, "--", "true"], check=False)
    assert done.returncode in (124, 125)


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


def test_the_ledger_has_an_object_for_each_machine(run, tmp_path):
    ledger = tmp_path / "ledger"
    run(VM, "--", "true", env={"VM_LEDGER": str(ledger)})
    assert ledger.read_text() == '{"debug_locks": 1, "reports": 0}\n'
