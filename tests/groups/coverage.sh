# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Which lines of the project the suites reach: at least 95 %, and each other one has a reason.

coverage_run() { "$ROOT/scripts/coverage"; }

check "at least 95 % of the lines, and a reason for each other one" coverage_run
sed -nE 's/^([a-z]+: )?[0-9]+ of [0-9]+ lines.*/        &/p' "$BUILD/coverage.txt"
