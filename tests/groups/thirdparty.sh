# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Programs that others wrote, twice in one machine, with release fences off and on. Each test has to
# say what it says on the unpatched kernel, which tests/expected/thirdparty holds; a better verdict fails
# too, so that the file stays true. build/thirdparty.txt is the table of it, for people.
#
#   v4l2-compliance     of Debian 13, with streaming, on the drivers that have release fences, with
#                       buffers of vivid for its test of DMABUF (those of vivid: tests/run compliance)
#   dmabuf-heap, sync_test, udmabuf    the kernel tree's selftests of dma-heaps, sw_sync and udmabuf;
#                                      sync_test with less stress, see below
#   dmabuf-selftests    the kernel's module of that name, with shorter chains (it is what IGT's test
#                       "dmabuf" loads, which leaves the chains out on machines that are slow)
#
# IGT itself is not run. Debian's packages of it, intel-gpu-tools 1.27.1-1 and 2.0-1, have none of
# its tests: of usr/libexec/igt-gpu-tools only benchmarks/, and lists of names; dpkg -c shows no
# sw_sync, vgem_basic, syncobj_basic or kms_prime. Nothing is built from its source: the mirror that
# was asked answered "apt-get source intel-gpu-tools" with 404, for the archives of both.
#
# To record tests/expected/thirdparty: all of the series' C is taken back, but not rkemu, which is
# hardware; without release-fences.config, so that what is linked into the tree is not built. On a
# machine that is too busy, v4l2-compliance gives up waiting for a frame; then record it again.
#
#   git -C build/linux diff HEAD "$(cat build/linux/.git/vb2/base)" -- drivers include \
#       ':!drivers/media/test-drivers/'{Kconfig,Makefile} >build/unpatched.patch
#   THIRDPARTY_UNPATCHED=$(scripts/kernel --name unpatched --patch build/unpatched.patch \
#       --config scripts/configs/vm.config --config scripts/configs/vm-x86_64.config \
#       --config scripts/configs/debug.config) tests/run thirdparty
#   tests/programs/compare-verdicts record build/logs/test/thirdparty/{off,on}.txt \
#       >tests/expected/thirdparty

THIRDPARTY=$BUILD/thirdparty
THIRDPARTY_TABLE=$BUILD/thirdparty.txt
THIRDPARTY_PROGRAMS=(v4l2-compliance dmabuf-heap sync_test udmabuf dmabuf-selftests)

# thirdparty_less DIRECTORY FILE FROM TO: in the copy of a source file
thirdparty_less()
{
	grep -qF "$3" "$1/$2" || {
		echo "$2 does not say \"$3\""
		return 1
	}
	sed -i "s/${3//\*/\\*}/$4/" "$1/$2"
}

# sync_test with a sixteenth of the rounds in its three stress tests: with all of them, the first did
# not end in 5 minutes in an emulated machine on a busy one. Nothing else of it is changed.
thirdparty_sync_test()
{
	local dir=$TREE/tools/testing/selftests/sync copy=$THIRDPARTY/sync
	rm -rf "$copy"
	cp -r "$dir" "$copy"
	thirdparty_less "$copy" sync_stress_parallelism.c "iterations = 1 << 16;" "iterations = 1 << 12;"
	thirdparty_less "$copy" sync_stress_consumer.c "iterations = 1 << 12;" "iterations = 1 << 8;"
	thirdparty_less "$copy" sync_stress_merge.c "merge_count = 1024 * 32;" "merge_count = 1024 * 2;"
	"$CLANG" -O2 -std=gnu89 -pthread -I"$dir" -isystem "$TREE/obj-headers/usr/include" \
		"$copy"/*.c -o "$THIRDPARTY/selftests/sync_test"
}

# The selftests with the tree's own headers, and the module as a user's own would be: the
# machine's kernel has it not, since it would run at each start.
thirdparty_build()
{
	local objects test
	rm -rf "$THIRDPARTY"/{objects,selftests,module}
	mkdir -p "$THIRDPARTY"/{objects,selftests,module}
	kmake "$TREE" obj-headers headers
	for test in dmabuf-heaps drivers/dma-buf; do
		make -C "$TREE/tools/testing/selftests/$test" CC="$CLANG" OUTPUT="$THIRDPARTY/objects" \
			KHDR_INCLUDES="-isystem $TREE/obj-headers/usr/include"
	done
	cp "$THIRDPARTY"/objects/{dmabuf-heap,udmabuf} "$THIRDPARTY/selftests"
	thirdparty_sync_test
	objects=$("$ROOT/scripts/kernel" --objects)
	cp "$TREE"/drivers/dma-buf/{selftest,st-}* "$THIRDPARTY/module"
	# A sixteenth of the fences: its wait_backward takes minutes, with hung tasks in the log.
	thirdparty_less "$THIRDPARTY/module" st-dma-fence-chain.c "CHAIN_SZ (4 << 10)" "CHAIN_SZ (4 << 6)"
	cat >"$THIRDPARTY/module/Kbuild" <<-'END'
		obj-m := dmabuf_selftests.o
		dmabuf_selftests-y := selftest.o st-dma-fence.o st-dma-fence-chain.o \
			st-dma-fence-unwrap.o st-dma-resv.o
	END
	kmake "$TREE" "${objects##*/}" M="$THIRDPARTY/module" modules
}

thirdparty_run()
{
	local status=0 half image unpatched=()
	rm -rf "$BUILD/vm/scratch/thirdparty" "$TEST_LOGS"/{off,on}.txt "$THIRDPARTY_TABLE"
	if [[ -n ${THIRDPARTY_UNPATCHED:-} ]]; then
		image=$THIRDPARTY_UNPATCHED unpatched=(--unpatched)
	else
		image=$("$ROOT/scripts/kernel")
	fi
	"$ROOT/scripts/vm" --timeout 7200 --image "$image" -- "$TESTS/guest/thirdparty" \
		"$("$ROOT/scripts/debian-rootfs")" "$THIRDPARTY/selftests" \
		"$THIRDPARTY/module/dmabuf_selftests.ko" "${unpatched[@]}" || status=$?
	for half in off on; do
		"$TESTS/programs/compare-verdicts" lines "$BUILD/vm/scratch/thirdparty/$half" \
			>"$TEST_LOGS/$half.txt"
	done
	return "$status"
}

# Else "off" and "on" would be the same thing.
thirdparty_armed()
{
	local results=$BUILD/vm/scratch/thirdparty
	echo "fences: $(<"$results/off/armed") with them off, $(<"$results/on/armed") with them on"
	(($(<"$results/off/armed") == 0 && $(<"$results/on/armed") > 0))
}

thirdparty_table()
{
	local status=0
	"$TESTS/programs/compare-verdicts" table "$TESTS/expected/thirdparty" \
		"$TEST_LOGS"/{off,on}.txt >"$THIRDPARTY_TABLE" || status=$?
	cat "$THIRDPARTY_TABLE"
	return "$status"
}

check "the kernel's selftests build" thirdparty_build
check "all programs end, and the kernel log has no report" thirdparty_run
check "fences are published in one half only" thirdparty_armed
for name in "${THIRDPARTY_PROGRAMS[@]}"; do
	for half in off on; do
		check "$name as on the unpatched kernel, release fences $half" \
			"$TESTS/programs/compare-verdicts" check "$TESTS/expected/thirdparty" \
			"$TEST_LOGS/$half.txt" "$name"
	done
done
check "the table says that nothing differs" thirdparty_table
