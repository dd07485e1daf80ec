# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Media as modules: builds, loads, does the main job, and can be unloaded, also in the middle of a job.
#
# RKEMU_ORDER_STRIDE=1 is all orders of going away. With SHARE it is rockchip-rga alone, in one order
# for each thing that may be held.
#
# Each load of a module takes lock classes and stack traces from lockdep, which never come back. So each
# driver's orders have a machine of their own, which says how much was left.

modules_image=$TEST_LOGS/image
modules_drivers=$TEST_LOGS/drivers
modules_configs=()
for part in vm "vm-$ARCH" debug release-fences modules; do
	modules_configs+=(--config "$ROOT/scripts/configs/$part.config")
done

modules_build()
{
	# It stays from an earlier build if the kernel comes from the cache.
	rm -f "$LOGS/kernel-modules.log"
	"$ROOT/scripts/kernel" --name modules --from vm "${modules_configs[@]}" >"$modules_image"
	[[ ! -f $LOGS/kernel-modules.log ]] || ! grep -E 'WARNING: modpost|undefined!' "$LOGS/kernel-modules.log"
}

modules_run()
{
	local image home
	image=$(<"$modules_image")
	[[ -n $image ]]
	home=${image%/"$ARCH_IMAGE"}
	"$ROOT/scripts/build-program"
	"$ROOT/scripts/vm" --image "$image" -- sh -ec "
		modprobe -d '$home' vim2m
		modprobe -d '$home' visl
		'$CARGO_OUT/vb2-fence' report --json \$VM_SCRATCH/modules.json
		modprobe -d '$home' -r vim2m visl
		modprobe -d '$home' -r videobuf2_v4l2 videobuf2_memops
		! grep videobuf2 /proc/modules"
}

# modules_drivers: those that module_orders_test has cases for, one a line
modules_drivers()
{
	local programs
	programs=$("$ROOT/scripts/build-selftests")
	"$programs/module_orders_test" --drivers >"$modules_drivers"
	[[ -s $modules_drivers ]]
}

# modules_selftest PROGRAM [ARGUMENT...]: what keeps a module, and what does not
modules_selftest() { "$ROOT/scripts/vm-modules" "$(<"$modules_image")" "$@" >"$TEST_LOGS/$1${3:+-$3}.tap"; }

# modules_cases NAME PROGRAM [ARGUMENT...]: a check that it ends well, and its cases
modules_cases()
{
	check --machines "$1" modules_selftest "${@:2}"
	cases ktap "$2${4:+-$4}" "$TEST_LOGS/$2${4:+-$4}.tap"
}

# Pictures of the sample and of vivid to the display and back; make test-long has more
SAMPLE_PICTURES=${SAMPLE_PICTURES:-100}

# sample_circle NODE: every picture was shown whole and in order, and its fence has ended
sample_circle()
{
	/usr/bin/python3 - "$BUILD/vm/scratch/circle-$1" "$SAMPLE_PICTURES" <<-'END'
	import json, sys
	name, pictures = sys.argv[1], int(sys.argv[2])
	report = json.load(open(name + ".json"))
	(way,) = report["ways"]
	fences = json.loads(open(name + "-fences.json").read().splitlines()[-1])
	print(way, fences)
	assert report["right"] and way["frames"] == way["checked"] == pictures
	assert way["stale"] == way["torn"] == way["out_of_order"] == way["unfinished"] == 0
	# All but the first one found a buffer on the display.
	assert way["given_back_early"] == pictures - 1 and way["shown_early"] > 0
	assert fences["kind"] == "summary" and fences["lost_events"] == 0
	assert sum(queue["armed"] for queue in fences["queues"]) >= pictures
	assert all(queue["pending"] == 0 for queue in fences["queues"])
	END
}

# The samples, built by the project's Kbuild against the tree, as a user's own module would be. What
# vivid's fences come from is vivid's business: the program only has to find out.
sample_run()
{
	local objects sample=$BUILD/sample
	objects=$("$ROOT/scripts/kernel" --objects)
	rm -rf "$sample"
	mkdir -p "$sample"
	cp -r "$ROOT/Kbuild" "$ROOT/samples" "$sample"
	kmake "$TREE" "${objects##*/}" headers
	kmake "$TREE" "${objects##*/}" M="$sample" CONFIG_SAMPLE_FENCE_CONSUMER=y \
		CONFIG_SAMPLE_{RUST_RELEASE_FENCE,CAPTURE_OUT_FENCE,M2M_FENCES}=m modules
	"$ROOT/scripts/build-program"
	expect 0 "$ROOT/scripts/vm" --timeout $((900 + SAMPLE_PICTURES / 3)) -- sh -ec "
		node() { grep -lx \$1 /sys/class/video4linux/*/name | cut -d / -f 5; }
		cd '$sample/samples/release_fence'
		insmod rust_release_fence.ko
		dmesg | grep rust_release_fence:
		rmmod rust_release_fence
		insmod capture_out_fence.ko
		./consumer /dev/\$(node out-fence)
		'$CARGO_OUT/examples/consumer' /dev/\$(node out-fence)
		rmmod capture_out_fence
		insmod capture_out_fence.ko fps=15
		'$TESTS/guest/circle' '$CARGO_OUT/vb2-fence' out-fence $SAMPLE_PICTURES
		rmmod capture_out_fence
		insmod m2m_fences.ko
		'$CARGO_OUT/vb2-fence' stress /dev/\$(node m2m-fences) --seconds 5 --size 1280x720
		rmmod m2m_fences
		./consumer /dev/\$(node vivid-000-vid-cap)
		'$TESTS/guest/circle' '$CARGO_OUT/vb2-fence' vivid-000-vid-cap $SAMPLE_PICTURES"
	has "before the job: the buffer is ready"
	has "during the job: the buffer is not ready"
	has "after the job: the buffer is ready"
	has "buffer 0, QBUF: fence pending, then signalled; picture "
	has "out-fence -> vkms"
	has "vivid -> vkms"
	sample_circle out-fence
	sample_circle vivid-000-vid-cap
}

# shellcheck source=mutants/lib.sh
. "$ROOT/mutants/lib.sh"

rm -f "$modules_image"
: >"$modules_drivers"
check "videobuf2 and the drivers build as modules" modules_build
if [[ ${SHARE:-} ]]; then
	RKEMU_ORDER_STRIDE=1000 modules_cases "rga goes away in some orders, while a part of a job is held" \
		module_orders_test -v rga
	return
fi
check "they load, do the main job and unload" modules_run
modules_cases "they go away in the middle of a job" module_test
check "the selftest says which drivers it has" modules_drivers
for driver in $(<"$modules_drivers"); do
	modules_cases "$driver goes away in every order, while a part of a job is held" \
		module_orders_test -v "$driver"
done
modules_cases "buffers, file and device go away in every order, while all of a job is held" \
	lifetime_test
check "one that goes away under a dma-buf is seen" \
	mutant_is_caught "$ROOT/mutants/videobuf2/dma-buf-keeps-no-module.patch"
sample_key=$(key sample "$SAMPLE_PICTURES" "$(find "$ROOT"/scripts/configs "$ROOT"/crates/{uapi,vb2-fence} \
	"$TESTS/guest/circle" -type f | sort | xargs cat)")
check_once "the samples build against the tree, and their fences come and end" "$sample_key-sample" \
	sample_run
