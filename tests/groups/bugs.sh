# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Bugs of the kernel that are documented and not mended: each is still there, or the document is
# wrong. See "Not fixed" in docs/base-bugs.md.

# bugs_memory: new buffers of the decoder hold what was in their memory
bugs_memory()
{
	expect 0 "$ROOT/scripts/vm" -- "$("$ROOT/scripts/build-selftests")/base_bugs" memory
	has "a new OUTPUT buffer of"
}

# bugs_request: the machine ends with a report, which is what is looked for
bugs_request()
{
	expect 90 "$ROOT/scripts/vm" -- "$("$ROOT/scripts/build-selftests")/base_bugs" request
	has "KASAN: slab-use-after-free in __mutex_lock"
	has "media_request_close+"
}

check "hantro's new buffers are not cleared" bugs_memory
check "a request outlives its media device" bugs_request
