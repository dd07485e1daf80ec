# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# v4l2-compliance with streaming on vim2m, visl and vivid, release fences on: no verdict may differ
# from those of the unpatched kernel, which compliance.expected holds. The program of Debian 12 ends
# before it streams, so it comes from a Debian 13 that is made once, in the cache.

compliance_root()
{
	local root=$CACHE/trixie-v4l-utils
	if [[ ! -d $root ]]; then
		need_space "$CACHE" 1000
		rm -rf "$root.new"
		mmdebstrap --quiet --variant=apt --include=v4l-utils trixie "$root.new" || {
			echo "mmdebstrap could not make a Debian 13 root from this machine's package source"
			return 1
		}
		mv "$root.new" "$root"
	fi
	echo "$root"
}

# compliance [IMAGE]: on the project's kernel, or on another one to record what to expect
compliance()
{
	local root image
	root=$(compliance_root)
	image=${1:-$("$ROOT/tools/kernel")}
	"$ROOT/tools/vm" --timeout 900 --image "$image" -- "$TESTS/compliance-guest" "$root" \
		>"$TEST_LOGS/compliance.txt"
	grep Total "$TEST_LOGS/compliance.txt"
	diff "$TESTS/compliance.expected" "$TEST_LOGS/compliance.txt"
}

check "compliance: v4l2-compliance -s as on the unpatched kernel" compliance
