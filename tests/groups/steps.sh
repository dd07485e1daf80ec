# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The feature without the fixes: every patch of it builds, with the option on and off, and the result
# shows release fences.

steps_build()
{
	expect 0 env FIXES=0 "$ROOT/scripts/steps"
	has "patches build, with the option on and off"
}

steps_report()
{
	expect 0 env FIXES=0 "$ROOT/scripts/run"
}

check "every patch of the feature builds, with the option on and off" steps_build
check --machines "make run FIXES=0: off and on, as they should be" steps_report
