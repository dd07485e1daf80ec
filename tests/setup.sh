# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# make setup: quick when there is nothing to do; elsewhere it names what is missing, and only that.

setup_again()
{
	local before after
	"$ROOT/scripts/setup"
	before=$(date +%s%N)
	"$ROOT/scripts/setup"
	after=$(date +%s%N)
	echo "$(((after - before) / 1000000)) ms"
	((after - before < 5000000000))
}

setup_elsewhere()
{
	local dir before after
	dir=$(mktemp -d)
	printf 'ID=fedora\nVERSION_ID=41\n' >"$dir/os-release"
	before=$(stat -c %Y /var/lib/dpkg/status 2>/dev/null || echo none)
	expect 1 env OS_RELEASE="$dir/os-release" RUSTC="$dir/rustc" LLVM="$dir/bin/" \
		XDG_CACHE_HOME="$dir/cache" "$ROOT/scripts/setup"
	has "missing: $dir/bin/clang"
	has "missing: $dir/bin/ld.lld"
	has "missing: rustc (RUSTC=$dir/rustc)"
	[[ ! -e $dir/cache/vb2-release-fences/venv-$VIRTME_VERSION ]]
	after=$(stat -c %Y /var/lib/dpkg/status 2>/dev/null || echo none)
	[[ $before == "$after" ]]
	rm -rf "$dir"
}

# A rustc without its source, as rustup installs it, cannot build a kernel.
setup_without_source()
{
	local dir
	dir=$(mktemp -d)
	printf '#!/bin/sh\necho %s\n' "$dir" >"$dir/rustc"
	chmod +x "$dir/rustc"
	expect 1 env RUSTC="$dir/rustc" "$ROOT/scripts/setup"
	has "the Rust source of $dir/rustc"
	rm -rf "$dir"
}

check "setup: the second run takes under 5 s" setup_again
check "setup: another distribution: each missing tool is named, nothing installed" setup_elsewhere
check "setup: a rustc without its source is refused" setup_without_source
