# SPDX-License-Identifier: GPL-2.0-only
"""Checks make tree, make refresh and make series, in a small repository with a kernel of three files."""

import os
import re
import shutil
from pathlib import Path

import pytest

from conftest import ROOT

IDENTITY = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
PATCH = """\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Test <test@localhost>
Date: Thu, 1 Jan 2026 00:00:00 +0000
Subject: [PATCH] media: say {text}

Since it is a number.

Signed-off-by: Test <test@localhost>
---
 {file} | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/{file} b/{file}
--- a/{file}
+++ b/{file}
@@ -{above},3 +{above},3 @@
 {above}
-{old}
+{text}
 {below}
"""


class Project:
    """A repository with the scripts of this one and two patches, and the kernel that they are for."""

    def __init__(self, run, directory):
        self.run = run
        self.repo, self.kernel = directory / "repo", directory / "kernel"
        self.env = {"KDIR": str(self.kernel)}
        (self.kernel / "drivers/media").mkdir(parents=True)
        (self.repo / "drivers/media/new").mkdir(parents=True)
        shutil.copytree(ROOT / "scripts", self.repo / "scripts")
        (self.kernel / "Makefile").write_text("VERSION = 6\nPATCHLEVEL = 12\nSUBLEVEL = 7\n")
        numbers = "".join(f"{number}\n" for number in range(1, 21))
        for name in "old.c", "other.c":
            (self.kernel / "drivers/media" / name).write_text(numbers)
        (self.repo / "drivers/media/new/new.c").write_text("new file\n")
        run("git", "init", "-q", self.kernel)
        self.git(self.kernel, "add", "-A")
        self.git(self.kernel, "commit", "-q", "-m", "kernel")
        run("git", "init", "-q", self.repo)
        self.add_patch("feature/first.patch", 5, "five")
        self.add_patch("fixes/old/second.patch", 15, "fifteen")
        lib = f". '{self.repo}/scripts/lib.sh'; echo \"$TREE\""
        self.tree = Path(run("bash", "-c", lib, env=self.env).output.strip())

    def git(self, directory, *arguments):
        """Runs git there; returns what it printed."""
        return self.run("git", "-C", directory, *IDENTITY, *arguments).output.strip()

    def add_patch(self, name, line, text):
        """A patch of drivers/media/old.c, at the end of the series."""
        path = self.patch(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.repo / "patches/series", "a", encoding="utf-8") as series:
            series.write(f"{name}\n")
        path.write_text(
            PATCH.format(file="drivers/media/old.c", old=line, above=line - 1, below=line + 1, text=text)
        )

    def patch(self, name):
        """The path of a patch."""
        return self.repo / "patches" / name

    def series(self):
        """The names of the patches, in order."""
        return self.patch("series").read_text().split()

    def patches(self):
        """All of patches/, by name."""
        root = self.repo / "patches"
        return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*") if path.is_file()}

    def make_tree(self, status=0):
        """Runs scripts/tree."""
        return self.run(self.repo / "scripts/tree", status=status, env=self.env)

    def refresh(self, status=0):
        """Runs scripts/refresh."""
        return self.run(self.repo / "scripts/refresh", status=status, env=self.env)

    def text(self, name):
        """A file of the tree below drivers/media."""
        return (self.tree / "drivers/media" / name).read_text()

    def change(self, path, old, new):
        """Replaces text in a file."""
        changed = re.sub(old, new, path.read_text(), flags=re.M)
        assert changed != path.read_text()
        path.write_text(changed)

    def add_mine(self):
        """A line of one's own in the tree."""
        with open(self.tree / "drivers/media/other.c", "a", encoding="utf-8") as file:
            file.write("mine\n")


@pytest.fixture
def project(run, tmp_path, monkeypatch):
    """A project whose tree was not made yet."""
    monkeypatch.delenv("KDIR", raising=False)
    return Project(run, tmp_path)


def test_one_commit_per_patch_files_linked_kdir_left_as_it_was(project):
    project.make_tree()
    subjects = project.git(project.tree, "log", "--format=%s").splitlines()
    assert subjects == ["media: say fifteen", "media: say five", "Linux 6.12.7"]
    assert "fifteen" in project.text("old.c")
    assert (project.tree / "drivers/media/new/new.c").is_symlink()
    assert project.text("new/new.c") == "new file\n"
    assert project.git(project.tree, "status", "--short") == ""
    assert project.git(project.kernel, "status", "--short") == ""
    assert project.git(project.kernel, "rev-list", "--count", "--all") == "1"


def test_kdir_that_is_no_git_repository(project):
    # Objects in it stay there and do not come along.
    shutil.rmtree(project.kernel / ".git")
    with open(project.kernel / "Makefile", "a", encoding="utf-8") as file:
        file.write("mrproper:\n\trm -f drivers/media/old.o\n")
    (project.kernel / "drivers/media/old.o").touch()
    project.make_tree()
    assert "fifteen" in project.text("old.c")
    assert not (project.tree / "drivers/media/old.o").exists()
    assert (project.kernel / "drivers/media/old.o").exists()
    assert not (project.kernel / ".git").exists()


def test_an_update_touches_what_changes_and_nothing_else(project):
    project.make_tree()
    other = project.tree / "drivers/media/other.c"
    for name in "old.c", "other.c":
        os.utime(project.tree / "drivers/media" / name, (1577836800, 1577836800))
    before = other.stat().st_mtime
    (project.repo / "drivers/media/new/new.c").unlink()
    (project.repo / "drivers/media/else.c").write_text("else\n")
    project.change(project.patch("fixes/old/second.patch"), "fifteen", "zero")
    project.make_tree()
    assert "zero" in project.text("old.c")
    assert other.stat().st_mtime == before
    assert not (project.tree / "drivers/media/new/new.c").is_symlink()
    assert (project.tree / "drivers/media/else.c").is_symlink()


def test_wrong_kernel_version(project):
    project.make_tree()
    project.change(project.kernel / "Makefile", "^PATCHLEVEL.*", "PATCHLEVEL = 6")
    done = project.make_tree(status=1)
    assert f"KDIR={project.kernel} is Linux 6.6.7" in done.output
    assert project.git(project.tree, "log", "-1", "--format=%s") == "media: say fifteen"


def test_a_patch_that_does_not_apply(project):
    project.make_tree()
    before = project.git(project.tree, "rev-parse", "HEAD")
    project.change(project.patch("fixes/old/second.patch"), "^-15", "-99")
    done = project.make_tree(status=1)
    assert "patches/fixes/old/second.patch does not apply" in done.output
    assert project.git(project.tree, "rev-parse", "HEAD") == before
    assert project.git(project.tree, "status", "--short") == ""
    shutil.rmtree(project.tree)
    done = project.make_tree(status=1)
    assert "patches/fixes/old/second.patch does not apply" in done.output
    assert not project.tree.exists()


def test_git_that_fails(project, tmp_path):
    git = tmp_path / "bin/git"
    git.parent.mkdir()
    git.write_text(
        f'#!/bin/sh\ncase "$*" in *" add -f "*) echo "fatal: No space left on device" >&2; exit 128 ;; esac\n'
        f'exec {shutil.which("git")} "$@"\n'
    )
    git.chmod(0o755)
    project.env["PATH"] = f"{git.parent}:{os.environ['PATH']}"
    done = project.make_tree(status=128)
    assert done.output.endswith("fatal: No space left on device\n")
    assert not project.tree.exists()


def test_a_series_with_a_patch_too_many_or_too_few(project):
    series = project.patch("series")
    whole = series.read_text()
    series.write_text(whole + "feature/third.patch\n")
    done = project.make_tree(status=1)
    assert "patches/series and the patches below patches/ differ: feature/third.patch" in done.output
    series.write_text(whole)
    shutil.copy(project.patch("fixes/old/second.patch"), project.patch("fixes/old/forgotten.patch"))
    done = project.make_tree(status=1)
    assert "differ: " in done.output
    assert "fixes/old/forgotten.patch" in done.output
    assert not project.tree.exists()


def test_edits_of_its_own_are_not_overwritten(project):
    project.make_tree()
    project.add_mine()
    project.make_tree()
    project.change(project.patch("fixes/old/second.patch"), "fifteen", "zero")
    done = project.make_tree(status=1)
    assert "run make refresh" in done.output
    assert "mine" in project.text("other.c")
    assert "fifteen" in project.text("old.c")


def test_make_refresh_gives_the_patches_back(project):
    project.make_tree()
    project.refresh()
    first = project.patches()
    project.refresh()
    assert project.patches() == first
    project.add_mine()
    done = project.refresh(status=1)
    assert "drivers/media/other.c" in done.output
    project.git(project.tree, "commit", "-q", "-a", "-m", "media: mine")
    project.refresh()
    assert project.series() == ["feature/first.patch", "fixes/old/second.patch", "fixes/media-core/mine.patch"]
    assert len(project.patches()) == 4
    tree = project.git(project.tree, "rev-parse", "HEAD^{tree}")
    project.make_tree()
    shutil.rmtree(project.tree)
    project.make_tree()
    assert project.git(project.tree, "rev-parse", "HEAD^{tree}") == tree
    (project.tree / "drivers/media/added.c").write_text("added\n")
    project.git(project.tree, "add", "-f", "drivers/media/added.c")
    project.git(project.tree, "commit", "-q", "-m", "media: add a file")
    done = project.refresh(status=1)
    assert "drivers/media/added.c" in done.output


def test_make_refresh_gives_a_new_patch_of_the_feature_a_name(project):
    # A new commit before the last one of the feature belongs to it.
    project.make_tree()
    series = project.git(project.tree, "rev-list", "--reverse", "base..HEAD").split()
    project.git(project.tree, "reset", "-q", "--hard", "base")
    project.add_mine()
    project.git(project.tree, "commit", "-q", "-a", "-m", "media: some/driver: be mine")
    project.git(project.tree, "cherry-pick", *series)
    project.refresh()
    assert project.series() == [
        "feature/media-some-driver-be-mine.patch",
        "feature/first.patch",
        "fixes/old/second.patch",
    ]


def test_the_feature_without_the_fixes(project):
    project.make_tree()
    project.env["FIXES"] = "0"
    done = project.make_tree()
    alone = project.tree.with_name(project.tree.name + "-feature")
    text = (alone / "drivers/media/old.c").read_text()
    assert "five" in text and "fifteen" not in text
    assert "and 1 patches" in done.output
    done = project.refresh(status=1)
    assert "FIXES=0: that tree lacks the fixes" in done.output
    assert "fifteen" in project.text("old.c")
    project.env["FIXES"] = "no"
    assert "FIXES=no: 0 leaves out" in project.make_tree(status=1).output


STAGE = """\
diff --git a/drivers/media/new/new.c b/drivers/media/new/new.c
--- a/drivers/media/new/new.c
+++ b/drivers/media/new/new.c
@@ -1 +1 @@
-new file
+{text}
"""
LIST = """\
stage without-later until fixes/old/second
series early on base
feature/*
\tdrivers/media/new/*
series late on early
fixes/*
"""


@pytest.fixture
def series(project):
    """The same with two series: the second patch is the one that brings the file's final form."""
    (project.repo / "series/stages").mkdir(parents=True)
    (project.repo / "series/list").write_text(LIST)
    (project.repo / "series/stages/without-later.patch").write_text(STAGE.format(text="early form"))
    return project


def make_series(project, *arguments, status=0):
    """Runs scripts/series."""
    return project.run(project.repo / "scripts/series", *arguments, status=status, env=project.env)


def test_series_make_the_tree_with_each_file_at_its_stage(series):
    done = make_series(series, "--check")
    assert done.output.endswith("2 patches in 2 series\n")
    assert "makes the tree of make tree" in done.output
    new = "drivers/media/new/new.c"
    assert series.git(series.tree, "show", f"refs/series/early:{new}") == "early form"
    assert series.git(series.tree, "show", f"refs/series/late:{new}") == "new file"
    assert series.git(series.tree, "log", "--format=%s", "refs/series/all").splitlines() == [
        "media: say fifteen",
        "media: say five",
        "Linux 6.12.7",
    ]
    assert series.git(series.tree, "status", "--short") == ""


@pytest.mark.parametrize(
    "path, old, new, said",
    [
        ("series/list", "^fixes/\\*$", "feature/*", "no patch of patches/series that is left matches feature/*"),
        ("series/list", "^series late.*\\nfixes.*\\n", "", "series/list has no place for fixes/old/second.patch"),
        ("series/list", "^\\tdrivers.*", "", "no commit adds drivers/media/new/new.c"),
        ("series/list", "media/new/", "media/old/", "no commit adds drivers/media/new/new.c"),
        ("series/list", "until fixes", "until no", "stage without-later: there is no commit no/old/second"),
        ("series/list", "on early", "on it", "series/list:5: not understood: series late on it"),
        ("drivers/media/new/new.c", "new file", "other", "series/stages/without-later.patch does not apply"),
    ],
)
def test_series_that_do_not_fit(series, path, old, new, said):
    series.change(series.repo / path, old, new)
    done = make_series(series, "--check", status=1)
    assert said in done.output
    assert done.output.count("error:") == 1


def test_letters_need_the_results_of_a_run(series):
    assert "the base is Debian's source" in make_series(series, status=1).output
    series.env["KDIR"] = ""
    assert "no build/results.json" in make_series(series, status=1).output
    series.env["V"] = "two"
    assert "V=two: a number" in make_series(series, status=1).output
