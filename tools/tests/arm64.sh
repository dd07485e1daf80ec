# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2016,SC2164
#
# The architecture of the boards: what runs on this machine's runs there too, in an emulated machine,
# and the kernel for RK3566 boards builds as a whole.

arm64() { env ARCH=arm64 "$@"; }

arm64_kernel()
{
	arm64 "$ROOT/tools/setup"
	arm64 "$ROOT/tools/kernel" >"$TEST_LOGS/arm64-image"
}

arm64_kunit() { arm64 "$ROOT/tools/kunit" --image "$(<"$TEST_LOGS/arm64-image")" --dir "$BUILD/kunit-arm64"; }

arm64_vm()
{
	expect 7 arm64 "$ROOT/tools/vm" --image "$(<"$TEST_LOGS/arm64-image")" -- \
		sh -c 'uname -m; echo kept >"$VM_SCRATCH/file"; exit 7'
	has aarch64
	[[ $(<"$BUILD/vm/scratch/file") == kept ]]
	rm "$BUILD/vm/scratch/file"
}

arm64_board()
{
	"$ROOT/tools/board"
	grep -qx 'CONFIG_VIDEOBUF2_RELEASE_FENCES=y' "$BUILD/board/.config"
	ls -l "$BUILD/board"
	[[ -s $BUILD/board/Image && -s $BUILD/board/rk3566-pinetab2-v2.0.dtb ]]
}

rm -f "$TEST_LOGS/arm64-image"
check "arm64: the kernel builds" arm64_kernel
check "arm64: all KUnit suites end, and the kernel log has no report" arm64_kunit
check "arm64: the virtual machine runs a command" arm64_vm
check "arm64: the kernel for RK3566 boards builds, with its devicetrees" arm64_board
