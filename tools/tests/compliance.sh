# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# v4l2-compliance with streaming on vim2m, visl and vivid, release fences on: no verdict may differ
# from those of the unpatched kernel, which compliance.expected holds. The program of Debian 12 ends
# before it streams, so it is that of Debian 13, from tools/debian-root.

COMPLIANCE_NODES=(vim2m vivid-000-{vid,meta}-{cap,out} visl)

# compliance [IMAGE]: on the project's kernel, or on another one to record what to expect
compliance()
{
	local image
	image=${1:-$("$ROOT/tools/kernel")}
	"$ROOT/tools/vm" --timeout 900 --image "$image" -- "$TESTS/compliance-guest" \
		"$("$ROOT/tools/debian-root")" "${COMPLIANCE_NODES[@]}" >"$TEST_LOGS/compliance.txt"
	grep Total "$TEST_LOGS/compliance.txt"
	diff "$TESTS/compliance.expected" "$TEST_LOGS/compliance.txt"
}

check "compliance: v4l2-compliance -s as on the unpatched kernel" compliance
