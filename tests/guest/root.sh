# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced after scripts/guest/lib.sh by what runs programs of another Debian in the virtual machine, with
# release fences on and off, and counts the fences. They set $root, that Debian, and $results, a directory.
# shellcheck shell=bash disable=SC2154

# enter_root: the devices of the emulated hardware, a root that programs can run in, the trace of fences
enter_root()
{
	local dir
	enable_rkemu
	decoder=$(node rockchip,rk3568-vpu-dec)
	blitter=$(node rockchip-rga)
	# udev's data base is what GStreamer finds the devices by.
	for dir in dev proc sys run; do
		mount --rbind "/$dir" "$root/$dir"
	done
	# In memory: what a driver maps cannot be written to the host's file system without a copy.
	mount -t tmpfs none "$root/mnt"
	echo 8192 >"$trace/buffer_size_kb"
	traced vb2/vb2_release_fence_{armed,signalled}
}

# twice MODULES NAME COMMAND...: with release fences of these drivers on, then off. The caller's
# function keep gets NAME-STATE and saves what the command left; the counts go to NAME-count.
twice()
{
	local modules name=$2 state queue
	read -r -a modules <<<"$1"
	shift 2
	for state in on off; do
		fences "$state" "${modules[@]}"
		: >"$trace/trace"
		"$@"
		cat "$trace/trace" >"$results/trace"
		keep "$name-$state"
		for queue in cap out; do
			echo "$queue $state: $(events "armed: queue=$queue-") armed," \
				"$(events "signalled: queue=$queue-.* result=0") signalled"
		done >>"$results/$name-count"
	done
	cat "$results/$name-count"
}

# events PATTERN: how often the trace has that
events() { grep -c "vb2_release_fence_$1" "$results/trace" || [[ $? == 1 ]]; }

gst()
{
	chroot "$root" env GST_REGISTRY=/mnt/registry GST_REGISTRY_FORK=no "$@"
}

# decoder_element CODEC: which element is hantro's; the test driver visl has the same codecs
decoder_element()
{
	local own=v4l2sl${decoder#/dev/}$1dec first=v4l2sl$1dec
	if gst gst-inspect-1.0 --exists "$own"; then
		echo "$own"
	elif gst gst-inspect-1.0 --exists "$first"; then
		echo "$first"
	else
		die "GStreamer does not see a decoder of $1 in $decoder"
	fi
}
