# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# With CONFIG_VIDEOBUF2_RELEASE_FENCES=n, videobuf2 and its drivers are the same instructions with
# the patches as without them.

off_targets=(drivers/media/common/videobuf2/ drivers/media/v4l2-core/v4l2-mem2mem.o
	drivers/media/test-drivers/vim2m.o drivers/media/test-drivers/visl/
	drivers/media/platform/verisilicon/ drivers/media/platform/rockchip/rga/)

off_base_tree()
{
	local file
	clone_tree "$1"
	while IFS= read -r file; do
		rm -f "$1/$file"
	done <"$STATE/links"
	while IFS= read -r file; do
		rm -f "$1/$file"
		mkdir -p "$1/$(dirname "$file")"
		tgit -C "$TREE" show "$(state base):$file" >"$1/$file"
	done < <(tgit -C "$TREE" diff --name-only "$(state base)" --)
}

# instructions SOURCE: disassembly with relocations of every object
instructions()
{
	local file
	cd "$1/obj-off"
	find "${off_targets[@]}" -name '*.o' | LC_ALL=C sort | while IFS= read -r file; do
		"${LLVM_PREFIX}llvm-objdump$LLVM_SUFFIX" -dr --no-show-raw-insn "$file"
	done
}

off_same()
{
	local base=$BUILD/base
	"$ROOT/tools/kernel" --name off --config "$ROOT/tools/configs/off.config" --configure
	grep -q '^CONFIG_VIDEO_VIM2M=y' "$TREE/obj-off/.config"
	! grep -q '^CONFIG_VIDEOBUF2_RELEASE_FENCES=y' "$TREE/obj-off/.config"
	with_progress "$TEST_LOGS/off-patched.txt" '' kmake "$TREE" obj-off -j"$(nproc)" prepare "${off_targets[@]}"
	off_base_tree "$base"
	mkdir "$base/obj-off"
	cp "$TREE/obj-off/.config" "$base/obj-off/.config"
	with_progress "$TEST_LOGS/off-base.txt" '' kmake "$base" obj-off -j"$(nproc)" prepare "${off_targets[@]}"
	(instructions "$TREE") >"$TEST_LOGS/off-patched.s"
	(instructions "$base") >"$TEST_LOGS/off-base.s"
	(cd "$base/obj-off" && find "${off_targets[@]}" -name '*.o')
	wc -l "$TEST_LOGS/off-base.s"
	(($(wc -l <"$TEST_LOGS/off-base.s") > 10000))
	diff -q "$TEST_LOGS/off-base.s" "$TEST_LOGS/off-patched.s" || {
		diff -U 3 "$TEST_LOGS/off-base.s" "$TEST_LOGS/off-patched.s" | head -n 40
		return 1
	}
	rm -rf "$base"
}

check_once "off: with the option off, the same instructions as unpatched" \
	"$(key off "$(<"$ROOT/tools/configs/off.config")")-off" off_same
