# SPDX-License-Identifier: GPL-2.0-only
"""Checks tests/programs/compare-verdicts: it reads what programs print, and finds each difference."""

import pytest

from conftest import ROOT

PROGRAM = ROOT / "tests/programs/compare-verdicts"
EXPECTED = "program\tgood\tOK\nprogram\tbad\tFAIL\nprogram\tno\tOK (Not Supported)\n"


@pytest.fixture
def expected(tmp_path):
    """A file of verdicts."""
    path = tmp_path / "expected"
    path.write_text(EXPECTED)
    return path


def test_nothing_differs(run, expected):
    run(PROGRAM, "check", expected, expected, "program")
    done = run(PROGRAM, "table", expected, expected, expected)
    assert "1/1/1         1/1/1         1/1/1" in done.output
    assert "Nothing differs." in done.output
    done = run(PROGRAM, "record", expected, expected)
    assert sorted(done.output.splitlines()) == sorted(EXPECTED.splitlines())


@pytest.mark.parametrize(
    "word, old, new",
    [
        ("WORSE", "good\tOK", "good\tFAIL"),
        ("WORSE", "good\tOK", "good\tOK (Not Supported)"),
        ("WORSE", "no\tOK (Not Supported)", "no\tFAIL"),
        ("BETTER", "bad\tFAIL", "bad\tOK"),
        ("BETTER", "no\tOK (Not Supported)", "no\tOK"),
        ("DIFFERENT", "good\tOK", "good\tOK, 2 warnings"),
        ("MISSING", "program\tgood\tOK\n", ""),
        ("NEW", "program\tbad", "program\tmore\tOK\nprogram\tbad"),
    ],
)
def test_a_difference_is_found(run, expected, tmp_path, word, old, new):
    got = tmp_path / "got"
    got.write_text(EXPECTED.replace(old, new))
    assert got.read_text() != EXPECTED
    done = run(PROGRAM, "check", expected, got, "program", status=1)
    assert f"{word} program: " in done.output
    assert "1 differ" in done.output
    done = run(PROGRAM, "table", expected, expected, got, status=1)
    assert f"  {word}" in done.output
    assert "SOMETHING DIFFERS." in done.output
    done = run(PROGRAM, "record", expected, got, status=2)
    assert "not recorded" in done.output


def test_a_program_without_tests(run, expected):
    done = run(PROGRAM, "check", expected, expected, "other", status=2)
    assert "no test of other" in done.output


def test_what_programs_print(run, tmp_path):
    for name, text, status in (
        ("tap", "TAP version 13\n1..3\nok 1 one\nnot ok 2 two\nok 3 # SKIP three\n", 4),
        (
            "dmabuf-selftests",
            "".join(f"[ 1.0] dma-buf: Running {name}\n" for name in ("fence", "fence/first", "fence/second"))
            + "[ 1.1] dma-buf/fence: second failed with error -22\n",
            1,
        ),
        (
            "v4l2-compliance",
            "node\t1\ttest\tOK\nnode\t2\ttest\tFAIL\nnode\tTotal for node: 2, Warnings: 3\n",
            1,
        ),
    ):
        (tmp_path / f"{name}.log").write_text(text)
        (tmp_path / f"{name}.status").write_text(f"{status}\n")
    done = run(PROGRAM, "lines", tmp_path)
    assert done.output.splitlines() == [
        "dmabuf-selftests\tfirst\tOK",
        "dmabuf-selftests\tsecond\tFAIL (-22)",
        "dmabuf-selftests\texit status\tFAIL (1)",
        "tap\tone\tOK",
        "tap\ttwo\tFAIL",
        "tap\tthree\tSKIP",
        "tap\texit status\tSKIP (4)",
        "v4l2-compliance node\ttest\tOK",
        "v4l2-compliance node\ttest #2\tFAIL",
        "v4l2-compliance node\twarnings\tOK, 3 warnings",
        "v4l2-compliance\texit status\tFAIL (1)",
    ]
