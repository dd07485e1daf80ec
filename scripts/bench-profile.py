# SPDX-License-Identifier: GPL-2.0-only
"""Counts the instructions of one arm, or of one QBUF's acquire, by function.

Run by scripts/bench in gdb, with the arguments in its environment.
"""

import collections
import os

import gdb

# Offsets of the members arm in struct bench_ops, and acquire in struct bench_acquire_ops
ARM, ACQUIRE = 3 * 8, 2 * 8
# Those of the checks, and the first ones of the rows
CALLS_BEFORE = 1000
MOST = 20000

def value(expression):
    """Returns the value of an expression, which is not negative."""
    return int(gdb.parse_and_eval(f"(unsigned long)({expression})"))


def function(address):
    """Returns the name of the function at an address."""
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    return text.split(" in section")[0].split(" + ")[0]


gdb.execute("set pagination off")
gdb.execute(f"file {os.environ['VMLINUX']}")
ops = value(f"&bench_{os.environ['VARIANT']}")
member = ACQUIRE if os.environ["VARIANT"].startswith("acquire_") else ARM
arm = value(f"*(unsigned long *){ops + member:#x}")
gdb.execute(f"target remote | exec {os.environ['QEMU']}", to_string=True)
# The processor's: a breakpoint in memory would be lost when the kernel is unpacked.
start = gdb.Breakpoint(f"*{arm:#x}", type=gdb.BP_HARDWARE_BREAKPOINT)
start.ignore_count = CALLS_BEFORE
gdb.execute("continue", to_string=True)
start.enabled = False

stack, counts, names = value("$rsp"), collections.Counter(), {}
while value("$rsp") <= stack and counts.total() < MOST:
    pc = value("$pc")
    if pc not in names:
        names[pc] = function(pc)
    counts[names[pc]] += 1
    gdb.execute("stepi", to_string=True)
print(f"{counts.total():6} {os.environ['VARIANT']}, of which")
for name, count in counts.most_common():
    print(f"{count:6} {name}")
gdb.execute("kill")
