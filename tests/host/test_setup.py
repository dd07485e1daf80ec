# SPDX-License-Identifier: GPL-2.0-only
"""Checks make setup: quick when there is nothing to do; elsewhere it names what is missing."""

import time
from pathlib import Path

from conftest import ROOT

SETUP = ROOT / "scripts/setup"
PACKAGES = Path("/var/lib/dpkg/status")


def installed():
    """When a package was installed last."""
    return PACKAGES.stat().st_mtime if PACKAGES.exists() else None


def test_the_second_run_takes_under_5_s(run):
    run(SETUP)
    started = time.monotonic()
    run(SETUP)
    assert time.monotonic() - started < 5


def test_another_distribution_each_missing_tool_is_named_nothing_installed(run, tmp_path):
    (tmp_path / "os-release").write_text("ID=fedora\nVERSION_ID=41\n")
    before = installed()
    env = {
        "OS_RELEASE": str(tmp_path / "os-release"),
        "RUSTC": str(tmp_path / "rustc"),
        "LLVM": f"{tmp_path}/bin/",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    done = run(SETUP, status=1, env=env)
    for tool in f"{tmp_path}/bin/clang", f"{tmp_path}/bin/ld.lld", f"rustc (RUSTC={tmp_path}/rustc)":
        assert f"missing: {tool}" in done.output
    assert not list(tmp_path.glob("cache/vb2-release-fences/venv-*"))
    assert installed() == before


def test_a_rustc_without_its_source_is_refused(run, tmp_path):
    # rustup installs such a one, which cannot build a kernel.
    rustc = tmp_path / "rustc"
    rustc.write_text(f"#!/bin/sh\necho {tmp_path}\n")
    rustc.chmod(0o755)
    done = run(SETUP, status=1, env={"RUSTC": str(rustc)})
    assert f"the Rust source of {rustc}" in done.output
