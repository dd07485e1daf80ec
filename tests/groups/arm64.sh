# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2016,SC2164
#
# The architecture of the boards, in an emulated machine: the KUnit suites, and the selftests of
# hantro and rockchip-rga on the emulated hardware. The kernel for RK3566 boards builds as a whole.

ARM64_PROGRAM=$BUILD/cargo/aarch64-unknown-linux-gnu/release/vb2-fence

arm64_kernel()
{
	"$ROOT/scripts/setup"
	"$ROOT/scripts/kernel"
}

arm64_vm()
{
	expect 7 "$ROOT/scripts/vm" -- sh -c 'uname -m; echo kept >"$VM_SCRATCH/file"; exit 7'
	has aarch64
	[[ $(<"$BUILD/vm/scratch/file") == kept ]]
	rm "$BUILD/vm/scratch/file"
}

arm64_board()
{
	"$ROOT/scripts/build-rk3566"
	grep -qx 'CONFIG_VIDEOBUF2_RELEASE_FENCES=y' "$BUILD/board/.config"
	ls -l "$BUILD/board"
	[[ -s $BUILD/board/Image && -s $BUILD/board/rk3566-pinetab2-v2.0.dtb ]]
}

# A file that runs on any system for arm64
arm64_program()
{
	"$ROOT/scripts/build-program" --arch arm64
	expect 0 "${LLVM_PREFIX}llvm-readelf" --file-header --program-headers "$ARM64_PROGRAM"
	has AArch64
	# shellcheck disable=SC2154
	[[ $output != *INTERP* ]]
	expect 0 qemu-aarch64 "$ARM64_PROGRAM" --help
	has probe
	expect 0 qemu-aarch64 "$ARM64_PROGRAM" list
	has release
}

check "a static program" arm64_program
export ARCH=arm64
check "the kernel builds" arm64_kernel
check "the virtual machine runs a command" arm64_vm
prefix "kunit: "
# shellcheck source=tests/groups/kunit.sh
. "$TESTS/groups/kunit.sh"
# Fewer frames: here they show that it works, and x86_64 that it always does.
SELFTESTS_MANY=200
prefix "selftests: "
# shellcheck source=tests/groups/selftests.sh
. "$TESTS/groups/selftests.sh"
prefix ""
check "the kernel for RK3566 boards builds, with its devicetrees" arm64_board
