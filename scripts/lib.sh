# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by every script: paths, messages, the environment of a kernel build.
# shellcheck shell=bash disable=SC2034

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
BUILD=$ROOT/build
LOGS=$BUILD/logs
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/vb2-release-fences

BINDGEN_VERSION=0.72.1
CARGO_DEB_VERSION=3.8.0
REQUIREMENTS=$ROOT/scripts/requirements.txt
BASE_TARBALL=/usr/src/linux-source-6.12.tar.xz
# The overlay: every file below these directories belongs into a kernel tree, under the same name.
LINKED_DIRS=(Documentation drivers include rust samples tools)

me=${0##*/}

say() { printf '%s: %s\n' "$me" "$*" >&2; }

die()
{
	printf '%s: error: %s\n' "$me" "$*" >&2
	exit 1
}

# lock FILE WHAT: one at a time, until this process ends
lock()
{
	mkdir -p "$(dirname "$1")"
	exec {lock_fd}>"$1"
	flock --nonblock "$lock_fd" && return
	say "waiting for another $2 to end"
	flock "$lock_fd"
}

# need_space DIRECTORY MEGABYTES
need_space()
{
	local free
	mkdir -p "$1"
	free=$(df --output=avail --block-size=1M "$1" | tail -n 1)
	((free >= $2)) ||
		die "no disk space: $1 has $((free)) MB free and this step needs $2 MB; make room and run it again"
}

# host_arch: the kernel's name for this machine
host_arch()
{
	local machine
	machine=$(uname -m)
	echo "${machine/aarch64/arm64}"
}

[[ $ROOT != *[[:space:]:]* ]] ||
	die "the kernel cannot be built in a path with spaces or colons: $ROOT"
ARCH=${ARCH:-$(host_arch)}
case $ARCH in
x86_64) ARCH_IMAGE=arch/x86/boot/bzImage ;;
arm64) ARCH_IMAGE=arch/arm64/boot/Image ;;
um) ARCH_IMAGE=linux ;;
*) die "ARCH=$ARCH: known are x86_64, arm64 and um" ;;
esac

BINDGEN_HOME=$CACHE/bindgen-$BINDGEN_VERSION
CARGO_DEB_HOME=$CACHE/tool-cargo-deb-$CARGO_DEB_VERSION
VENV=$CACHE/venv-$(cksum <"$REQUIREMENTS" | cut -d' ' -f1)
GIVEN_RUSTC=${RUSTC:-}
GIVEN_LLVM=${LLVM:-}
# Other scripts get these from the environment, and only if the user gave them.
[[ -n $GIVEN_RUSTC ]] || export -n RUSTC
[[ -n $GIVEN_LLVM ]] || export -n LLVM

# The compilers: those that the user gave, or those of the packages. A rustc without its own source
# cannot build a kernel, and the first one in PATH is often of that kind, so /usr/bin/rustc is taken.
find_compilers()
{
	RUSTC=${GIVEN_RUSTC:-/usr/bin/rustc}
	if [[ ! -x $RUSTC || $RUSTC != /* ]]; then
		RUSTC=$(command -v "${GIVEN_RUSTC:-rustc}" || echo "$RUSTC")
	fi
	RUST_BIN=$(dirname "$RUSTC")
	LLVM=${GIVEN_LLVM:-1}
	if [[ -z $GIVEN_LLVM && -x /usr/lib/llvm-19/bin/clang ]]; then
		LLVM=/usr/lib/llvm-19/bin/
	fi
	case $LLVM in
	*/) LLVM_PREFIX=$LLVM LLVM_SUFFIX='' ;;
	-*) LLVM_PREFIX='' LLVM_SUFFIX=$LLVM ;;
	*) LLVM_PREFIX='' LLVM_SUFFIX='' ;;
	esac
	CLANG=${LLVM_PREFIX}clang$LLVM_SUFFIX
	BINDGEN=bindgen
	[[ ! -x $BINDGEN_HOME/bin/bindgen ]] || BINDGEN=$BINDGEN_HOME/bin/bindgen
	# bindgen finds libclang by the first llvm-config in PATH.
	[[ $LLVM_PREFIX != /* || :$PATH: == *:${LLVM_PREFIX%/}:* ]] || PATH=${LLVM_PREFIX%/}:$PATH
	export PATH
}
find_compilers

# KDIR: the user's own tree is copied, never written to; its path names the copy.
if [[ -n ${KDIR:-} ]]; then
	[[ -d $KDIR ]] || die "KDIR=$KDIR: no such directory"
	KDIR=$(cd "$KDIR" && pwd -P)
	TREE=$BUILD/kdir-$(basename "$KDIR")-$(printf %s "$KDIR" | cksum | cut -d' ' -f1)
else
	KDIR=
	TREE=$BUILD/linux
fi
# FIXES=0: a tree of its own with the feature alone, without the fixes of the kernel's other bugs
case ${FIXES:-1} in
0) TREE+=-feature ;;
1) ;;
*) die "FIXES=$FIXES: 0 leaves out patches/fixes/, 1 is the default" ;;
esac

# Not the flags and the job server of a make that runs this script
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES GNUMAKEFLAGS

# kmake SOURCE OBJ ARGUMENT...: the kernel's make in SOURCE, objects in SOURCE/OBJ. An object
# directory inside the source keeps every path relative, so ccache hits wherever the clone lies.
kmake()
{
	local source=$1 obj=$2
	shift 2
	CCACHE_DIR=$CACHE/ccache CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=5G \
	KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:01 UTC' \
	KBUILD_BUILD_USER=vb2 KBUILD_BUILD_HOST=release-fences LOCALVERSION='' LC_ALL=C \
	make --no-print-directory -C "$source" O="$obj" ARCH="$ARCH" LLVM="$LLVM" \
		CC="ccache $CLANG" RUSTC="$RUSTC" HOSTRUSTC="$RUSTC" RUSTDOC="$RUST_BIN/rustdoc" \
		RUSTFMT="$RUST_BIN/rustfmt" CLIPPY_DRIVER="$RUST_BIN/clippy-driver" \
		BINDGEN="$BINDGEN" "$@"
}

# Where cargo leaves programs, and as what it builds them. tests/run has another profile: crates/Cargo.toml.
PROGRAMS_PROFILE=${PROGRAMS_PROFILE:-release}
CARGO_OUT=$BUILD/cargo/$PROGRAMS_PROFILE

# cargo_kept PROFILE: where compiled crates of the registry are kept for the next clone
cargo_kept()
{
	echo "$CACHE/cargo-$({ env -u RUSTC cargo --version; cat "$ROOT/crates/Cargo.lock"; } |
		sha256sum | cut -c1-16)/$1"
}

# seed_cargo PROFILE: the first build of a clone begins with them; cargo looks whether they fit. What
# cannot be copied, because another clone replaces it or the disk is full, is compiled.
seed_cargo()
{
	local kept new=$BUILD/cargo/$1.new
	kept=$(cargo_kept "$1")
	[[ -d $kept && ! -e $BUILD/cargo/$1 ]] || return 0
	mkdir -p "$BUILD/cargo"
	rm -rf "$new"
	if cp -a "$kept" "$new"; then
		mv -T "$new" "$BUILD/cargo/$1"
	else
		rm -rf "$new"
	fi
}

# keep_cargo PROFILE WHAT: after WHAT was built
keep_cargo()
{
	local kept new
	kept=$(cargo_kept "$1")
	[[ ! -e $kept/.has-$2 ]] || return 0
	if (($(df --output=avail --block-size=1M "$CACHE" | tail -n 1) < 3000)); then
		say "less than 3000 MB free: the compiled crates are not kept for other clones"
		return 0
	fi
	touch "$BUILD/cargo/$1/.has-$2"
	new=${kept%/*}.new.$$
	mkdir -p "${kept%/*}"
	# Those of other versions
	find "$CACHE" -mindepth 1 -maxdepth 1 -name 'cargo-*' ! -path "${kept%/*}" -exec rm -rf {} +
	if cp -a "$BUILD/cargo/$1" "$new"; then
		rm -rf "$new/incremental" "$kept"
		# Unless another clone was faster
		mv -T "$new" "$kept" || rm -rf "$new"
	else
		rm -rf "$new"
	fi
}

# linked_files: the files of the overlay, one per line
linked_files()
{
	git -C "$ROOT" ls-files --cached --others --exclude-standard --deduplicate -- \
		"${LINKED_DIRS[@]}" |
	while IFS= read -r file; do
		# Not one that was deleted, and not yet committed as deleted
		[[ ! -f $ROOT/$file ]] || printf '%s\n' "$file"
	done
}

# steps_in LOG: how many files the kernel's make has made so far
steps_in() { grep -c '^  [A-Z]' "$1" || [[ $? == 1 ]]; }

# with_progress LOG TOTAL COMMAND...: output goes to LOG, and a line now and then says how far it is
with_progress()
{
	local log=$1 total=$2 every=30 end='\n' pid started=$SECONDS shown=$SECONDS count status=0
	shift 2
	[[ ! -t 2 ]] || every=2 end='\r'
	# A process group of its own: when this ends early, so does all that the command started.
	set -m
	"$@" >"$log" 2>&1 </dev/null &
	set +m
	pid=$!
	# shellcheck disable=SC2064
	trap "kill -TERM -- -$pid; exit 130" INT TERM HUP
	while kill -0 "$pid" 2>/dev/null; do
		sleep 1
		((SECONDS - shown >= every)) || continue
		shown=$SECONDS
		count=$(steps_in "$log")
		# shellcheck disable=SC2059
		printf "%s: %s%s steps, %d:%02d min$end" "$me" "$count" "${total:+ of about $total}" \
			$(((SECONDS - started) / 60)) $(((SECONDS - started) % 60)) >&"${PROGRESS_FD:-2}"
	done
	wait "$pid" || status=$?
	trap - INT TERM HUP
	return "$status"
}

# show_errors LOG: what a compiler said first
show_errors()
{
	if grep -q 'No space left on device' "$1"; then
		die "no disk space left; make room and run it again (log: $1)"
	fi
	grep -m 3 -A 12 -E '(^|[^a-z])error(\[E[0-9]+\])?:|undefined (symbol|reference)|No rule to make' "$1" >&2 ||
		tail -n 15 "$1" >&2
}
