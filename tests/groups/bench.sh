# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# What release fences cost, counted in instructions: no count may be worse than the recorded one.
#
# It is a long group, since it needs a kernel of its own, without debugging options: on a machine with
# nothing in its cache that is minutes more than continuous integration has.

bench_quick() { "$ROOT/scripts/bench" quick; }

check "no count of instructions is worse than the recorded one" bench_quick
