# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# v4l2-compliance with streaming on vim2m, visl and vivid, release fences on: no verdict may differ
# from those of the unpatched kernel, which tests/expected/compliance holds. The program of Debian 12 ends
# before it streams, so it is that of Debian 13, from scripts/debian-rootfs.

COMPLIANCE_NODES=(vim2m vivid-000-{vid,meta}-{cap,out} visl)

# compliance [IMAGE]: on the project's kernel, or on another one to record what to expect
compliance()
{
	local image
	image=${1:-$("$ROOT/scripts/kernel")}
	"$ROOT/scripts/vm" --timeout 900 --image "$image" -- "$TESTS/guest/compliance" \
		"$("$ROOT/scripts/debian-rootfs")" "${COMPLIANCE_NODES[@]}" >"$TEST_LOGS/verdicts.txt"
	grep Total "$TEST_LOGS/verdicts.txt"
	diff "$TESTS/expected/compliance" "$TEST_LOGS/verdicts.txt"
}

check "v4l2-compliance -s as on the unpatched kernel" compliance
