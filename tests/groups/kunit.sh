# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The KUnit suites and the doctests. Each case counts, a skipped one as failed; one line per suite, and
# one per failed case.

kunit_log=$TEST_LOGS/kunit.log

kunit_run()
{
	local status=0
	"$ROOT/scripts/kunit" --image "$("$ROOT/scripts/kernel")" || status=$?
	cp "$BUILD/kunit/test.log" "$kunit_log"
	return "$status"
}

rm -rf "$BUILD/kunit"
check "all suites end, and the kernel log has no report" kunit_run
cases kunit "" "$kunit_log"
