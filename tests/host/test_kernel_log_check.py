# SPDX-License-Identifier: GPL-2.0-only
"""Checks scripts/kernel-log-check on lines as the kernel prints them."""

import importlib.machinery
import importlib.util
import sys

import pytest

from conftest import ROOT

sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader("check", str(ROOT / "scripts/kernel-log-check"))
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", LOADER))
LOADER.exec_module(check)

REPORTS = """\
[    4.204893] WARNING: CPU: 1 PID: 77 at drivers/misc/lkdtm/bugs.c:111 lkdtm_WARNING+0x10/0x20
[    1.5] [T12] BUG: unable to handle page fault for address: ffffc90000a3fff8
[    2.000000] BUG: KASAN: slab-use-after-free in dma_fence_signal+0x1c/0x60
[    2.000000] BUG: KCSAN: data-race in a / b
[    2.000000] UBSAN: array-index-out-of-bounds in drivers/x.c:3:4
[    2.000000] WARNING: possible circular locking dependency detected
[    2.000000] WARNING: suspicious RCU usage
[    2.000000] WARNING: bad unlock balance detected!
[    2.000000] BUG: sleeping function called from invalid context at mm/slab.h:1
[    2.000000] Oops: general protection fault, probably for non-canonical address 0xdffffc0: 0000 [#1]
[    2.000000] kernel BUG at drivers/dma-buf/dma-resv.c:290!
[    2.000000] Kernel panic - not syncing: Fatal exception
[    2.000000] INFO: task kworker/0:1:12 blocked for more than 60 seconds.
[    2.000000] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
[    2.000000] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [swapper/0:1]
[    2.000000] ODEBUG: free active (active state 0) object: 0 object type: timer_list
[    2.000000] list_del corruption, ffff8881 is LIST_POISON1
[    2.000000] refcount_t: underflow; use-after-free.
[    2.000000] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
[    2.000000] rust_kernel: panicked at rust/kernel/dma_buf.rs:10:5:
[    2.000000] DEBUG_LOCKS_WARN_ON(1)
[    2.000000] videobuf2_common:      buf_init: 3 buf_cleanup: 2
[    2.000000] videobuf2_common:      alloc: 1 put: 0
[    2.000000] videobuf2_common:      get_userptr: 1 put_userptr: 0
[    2.000000] videobuf2_common:      attach_dmabuf: 2 detach_dmabuf: 1
[    2.000000] videobuf2_common:      map_dmabuf: 2 unmap_dmabuf: 1
[    2.000000] BUG: MAX_LOCKDEP_CHAINS too low!
[    2.000000] INFO: trying to register non-static key.
[    2.000000] Unable to handle kernel NULL pointer dereference at virtual address 0000000000000010
[    2.000000] general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1]
[    2.000000] general protection fault: 0000 [#1] PREEMPT SMP KASAN
[    2.000000] Internal error: Oops: 0000000096000004 [#1] PREEMPT SMP""".splitlines()

# Also what a program's own crash prints
NO_REPORTS = """\
[    0.000000] traps: vb2-fence[123] general protection fault ip:55d0c0ffee sp:7ffd0 error:0 in vb2-fence[1000]
[    0.000000] vb2-fence[123]: segfault at 0 ip 000055d0c0ffee sp 00007ffd0 error 4 in vb2-fence[1000]
[    0.000000] Linux version 6.12.117 (vb2@release-fences) #1 SMP PREEMPT
[    0.052000] kasan: KernelAddressSanitizer initialized
[    0.100000] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    0.100000] kmemleak: Kernel memory leak detector initialized (mem pool available: 31000)
[    0.100000] debug: unmapping init [mem 0xffffffff82a00000-0xffffffff82bfffff]
[    0.200000]     ok 3 debugfs_and_bugs
[    0.200000] lkdtm: Performing direct entry WARNING
[    0.200000] videobuf2_common: unbalanced counters for queue 00000000c0ffee00:
[    0.200000] videobuf2_common:      prepare_streaming: 1 unprepare_streaming: 0
[    0.200000] videobuf2_common: release fence of vim2m capture 0 timed out""".splitlines()

BEGIN = "[    1.000000]     # armed_as_queued: expected-report-begin: vb2_buffer_done"
WARN = "[    1.000100] WARNING: CPU: 0 PID: 9 at drivers/x.c:7 vb2_buffer_done+0x1/0x2"
OTHER = "[    1.000100] WARNING: possible circular locking dependency detected"
END = "[    1.000200]     # armed_as_queued: expected-report-end"

RACE = """\
[    3.0] ==================================================================
[    3.0] BUG: KCSAN: data-race in list_add / vb2_core_dqbuf
[    3.0]
[    3.0] write to 0xffff888003 of 4 bytes by task 77 on cpu 1:
[    3.0]  list_add+0x1c/0x60
[    3.0]  %s+0x40/0x90
[    3.0]  kthread+0x11/0x22
[    3.0]
[    3.0] read to 0xffff888003 of 4 bytes by task 78 on cpu 0:
[    3.0]  vb2_core_dqbuf+0x1c/0x60
[    3.0]  |
[    3.0]  +-> reordered to: %s+0x77/0x90
[    3.0]
[    3.0] Reported by Kernel Concurrency Sanitizer on:
[    3.0] ==================================================================
[    3.1]  ours_which_is_no_part_of_it+0x1/0x2"""
OURS = check.Races(["ours|ours_which.*"])


def races(*functions, ours=OURS):
    """What is wrong with a log of that race, and the races that do not count."""
    others = []
    return check.scan((RACE % functions).splitlines(), ours, others), others


@pytest.mark.parametrize("functions", [("ours", "theirs"), ("theirs", "ours"), ("ours.cold", "theirs")])
def test_race_in_either_stack(functions):
    wrong, others = races(*functions)
    assert (len(wrong), others) == (1, [])


@pytest.mark.parametrize(
    "names", [["ours", "!list_add|vb2_.*"], ["!list_add", "ours", "!vb2_core_dqbuf"]]
)
def test_functions_that_race_by_themselves(names):
    wrong, others = races("ours", "theirs", ours=check.Races(names))
    assert (wrong, len(others)) == ([], 1)


@pytest.mark.parametrize("name", ["!list_add", "!vb2_core_dqbuf", "!list", "!theirs"])
def test_only_one_races_by_itself(name):
    wrong, others = races("ours", "theirs", ours=check.Races(["ours", name]))
    assert (len(wrong), others) == (1, [])


def test_race_of_others():
    wrong, others = races("theirs", "not_ours")
    assert (wrong, len(others)) == ([], 1)


def test_all_races_count_without_names():
    assert len(races("theirs", "theirs", ours=None)[0]) == 1


def test_other_reports_count_always():
    assert len(check.scan([WARN], OURS, [])) == 1


@pytest.mark.parametrize("line", REPORTS)
def test_report(line):
    assert len(check.scan([line])) == 1


@pytest.mark.parametrize("line", NO_REPORTS)
def test_no_report(line):
    assert check.scan([line]) == []


def test_expected():
    assert check.scan([BEGIN, WARN, END]) == []


def test_another_one_than_expected():
    assert len(check.scan([BEGIN, WARN, OTHER, END])) == 1


def test_expected_did_not_come():
    assert "did not come" in check.scan([BEGIN, END])[0]


def test_expected_but_too_late():
    assert len(check.scan([BEGIN, END, WARN])) == 2


def test_not_closed():
    assert len(check.scan([BEGIN, WARN])) == 1
    assert len(check.scan([BEGIN, WARN, BEGIN, WARN, END])) == 1


def test_end_without_begin():
    assert len(check.scan([END])) == 1
