# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# With CONFIG_VIDEOBUF2_RELEASE_FENCES=n, videobuf2 and its drivers are the same instructions with
# the patches of the feature as without them. Both sides have the feature's prerequisites, which are
# repairs and come first, and neither has the fixes, which come last.

off_targets=(drivers/media/common/videobuf2/ drivers/media/v4l2-core/v4l2-mem2mem.o
	drivers/media/v4l2-core/v4l2-ioctl.o drivers/media/v4l2-core/v4l2-dev.o
	drivers/media/v4l2-core/v4l2-compat-ioctl32.o drivers/media/test-drivers/vim2m.o drivers/media/test-drivers/visl/
	drivers/media/test-drivers/vivid/
	drivers/media/platform/verisilicon/ drivers/media/platform/rockchip/rga/)

# Messages carry the number of their line: what was inserted above shows there, and is no cost.
off_lines='-Wno-builtin-macro-redefined -D__LINE__=0'

# off_last ERE: the commit of the last patch whose name matches
off_last()
{
	local patch subject commit
	patch=$(series | grep -E "$1" | tail -n 1)
	subject=$(patch_subject "$PATCHES/$patch")
	commit=$(tgit -C "$TREE" log --format='%H %s' "$(state base)..HEAD" | awk -v subject="$subject" \
		'$0 == $1 " " subject { print $1 }')
	[[ -n $subject && -n $commit ]] || {
		echo "the tree has no commit of a patch in patches/series that matches $1 (${patch:-none})" >&2
		return 1
	}
	echo "$commit"
}

# off_tree DIRECTORY COMMIT: the kernel's own files as they were then
off_tree()
{
	local file
	clone_tree "$1"
	while IFS= read -r file; do
		rm -f "$1/$file"
		mkdir -p "$1/$(dirname "$file")"
		tgit -C "$TREE" show "$2:$file" >"$1/$file"
	done < <(tgit -C "$TREE" diff --name-only "$2" --)
}

# off_build DIRECTORY LOG
off_build()
{
	mkdir "$1/obj-off"
	cp "$TREE/obj-off/.config" "$1/obj-off/.config"
	with_progress "$2" '' kmake "$1" obj-off -j"$(nproc)" \
		KCFLAGS="$off_lines" "${off_targets[@]}"
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

# by_function FILE: the same, function after function by their names. The compiler emits them in an order
# that depends on who calls them, and with it go the places of texts and of what is not a function.
by_function()
{
	awk '/file format/ { file = $1; next }
		/^[0-9a-f]+ <.*>:$/ { name = $2; next }
		/^Disassembly|\tnop|\tint3/ { next }
		NF {
			sub(/^[ \t]*[0-9a-f]+:[ \t]*/, "")
			gsub(/0x[0-9a-f]+ </, "<")
			if (/^R_X86_64.*\t\./)
				sub(/\+0x[0-9a-f]+/, "")
			print file, name, $0
		}' "$1" | LC_ALL=C sort -s -k 1,2
}

off_same()
{
	local base=$BUILD/off-base feature=$BUILD/off-feature commit file
	"$ROOT/scripts/kernel" --name off --config "$ROOT/scripts/configs/off.config" --configure
	grep -q '^CONFIG_VIDEO_VIM2M=y' "$TREE/obj-off/.config"
	! grep -q '^CONFIG_VIDEOBUF2_RELEASE_FENCES=y' "$TREE/obj-off/.config"
	commit=$(off_last '^feature/')
	off_tree "$feature" "$commit"
	off_build "$feature" "$TEST_LOGS/patched.txt"
	commit=$(off_last '^feature/prerequisites/')
	off_tree "$base" "$commit"
	while IFS= read -r file; do
		rm -f "$base/$file"
	done <"$STATE/links"
	off_build "$base" "$TEST_LOGS/base.txt"
	(instructions "$feature") >"$TEST_LOGS/patched.objdump"
	(instructions "$base") >"$TEST_LOGS/base.objdump"
	by_function "$TEST_LOGS/patched.objdump" >"$TEST_LOGS/patched.s"
	by_function "$TEST_LOGS/base.objdump" >"$TEST_LOGS/base.s"
	(cd "$base/obj-off" && find "${off_targets[@]}" -name '*.o')
	wc -l "$TEST_LOGS/base.s"
	(($(wc -l <"$TEST_LOGS/base.s") > 10000))
	diff "$TEST_LOGS/base.s" "$TEST_LOGS/patched.s" >"$TEST_LOGS/instructions.diff" || {
		[[ $? == 1 ]]
		echo "instructions that differ (all: $TEST_LOGS/instructions.diff):"
		grep '^[<>]' "$TEST_LOGS/instructions.diff" | cut -c1-110 | head -n 10
		return 1
	}
	rm -rf "$base" "$feature"
}

check_once "with the option off, the same instructions as unpatched" \
	"$(key off "$(<"$ROOT/scripts/configs/off.config")")-off" off_same
