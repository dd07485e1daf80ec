# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Programs of a desktop that show dma-bufs of V4L2 on vkms: GStreamer's kmssink behind vivid,
# rockchip-rga and hantro, and weston with a camera. Each frame is shown once and in order, with
# release fences as without, and no program waits for a fence that does not come. The programs are those
# of Debian 13, from scripts/debian-rootfs --desktop. build/desktop.txt has all numbers.

# shellcheck source=tests/lib/gstreamer.sh
. "$TESTS/lib/gstreamer.sh"

DESKTOP=$BUILD/vm/scratch/desktop
DESKTOP_TABLE=$BUILD/desktop.txt
DESKTOP_STREAM=$BUILD/desktop.h264
DESKTOP_FRAMES=60

desktop_make()
{
	rm -f "$DESKTOP_STREAM"
	debian_gst "$("$ROOT/scripts/debian-rootfs" --desktop)" "$BUILD/desktop.registry" \
		videotestsrc pattern=ball num-buffers="$DESKTOP_FRAMES" ! \
		video/x-raw,format=I420,width=320,height=192,framerate=30/1 ! \
		x264enc bframes=0 key-int-max=60 bitrate=500 ! \
		video/x-h264,profile=main,stream-format=byte-stream,alignment=au ! \
		filesink location="$DESKTOP_STREAM"
	[[ -s $DESKTOP_STREAM ]]
}

desktop_run()
{
	rm -rf "$DESKTOP"
	mkdir -p "$DESKTOP"
	"$ROOT/scripts/vm" --timeout 2400 --udev -- "$TESTS/guest/desktop" \
		"$("$ROOT/scripts/debian-rootfs" --desktop)" "$DESKTOP_STREAM" "$DESKTOP_FRAMES"
}

# desktop_count FILE PATTERN
desktop_count() { grep -c -E -e "$2" "$1" || [[ $? == 1 ]]; }

# desktop_line PROGRAM WHAT OFF ON WANT-OFF WANT-ON: a line of the table; $wrong counts what is not as
# wanted, so that this works where set -e does not hold. A number with a + is wanted at least: vivid
# captures more frames than the program takes.
desktop_line()
{
	local verdict=right
	desktop_is "$3" "$5" && desktop_is "$4" "$6" || verdict="WRONG, not $5 and $6" wrong=$((wrong + 1))
	printf '%-18s %-28s %10s %10s  %s\n' "${@:1:4}" "$verdict" | tee -a "$DESKTOP_TABLE"
}

# desktop_is GOT WANT
desktop_is() { if [[ $2 == *+ ]]; then (($1 >= ${2%+})); else [[ $1 == "$2" ]]; fi; }

# desktop_in_order FILE: what user space took from each queue has rising numbers. vivid's, the only
# ones of VIDEO_CAPTURE, are from a clock: a frame right after a late one has the same.
desktop_in_order()
{
	awk '{ queue = $1 " " $2 }
		queue in last && $3 < last[queue] + ($2 != "VIDEO_CAPTURE") {
			print "after " last[queue] " came: " $0
			bad = 1
		}
		{ last[queue] = $3 }
		END { exit bad || !NR }' "$1"
}

# desktop_fences PROGRAM CAP OUT: so many fences on queues of each kind with release fences, without
# none; for all drivers together
desktop_fences()
{
	local queue
	for queue in cap out; do
		desktop_line "$1" "fences of $queue, armed" "$(desktop_number "$1" $queue off 1)" \
			"$(desktop_number "$1" $queue on 1)" 0 "$2"
		desktop_line "$1" "fences of $queue, signalled" "$(desktop_number "$1" $queue off 2)" \
			"$(desktop_number "$1" $queue on 2)" 0 "$2"
		set -- "$1" "$3"
	done
}

# desktop_number PROGRAM QUEUE STATE 1|2: armed, or signalled
desktop_number()
{
	sed -n "s/^$2 $3: \([0-9]*\) armed, \([0-9]*\) signalled$/\\$4/p" "$DESKTOP/$1-count"
}

# desktop_sink PROGRAM FRAMES CAP OUT: kmssink showed so many frames, and copied none
desktop_sink()
{
	local name=$DESKTOP/$1 state wrong=0 status=() shown=() imported=() copied=() errors=() said=()
	for state in off on; do
		status+=("$(<"$name-$state.status")")
		shown+=("$(desktop_count "$name-$state.log" 'displaying fb [0-9]+')")
		imported+=("$(desktop_count "$name-$state.log" '(found|setting) KMS mem')")
		copied+=("$(desktop_count "$name-$state.log" 'frame copy')")
		errors+=("$(desktop_count "$name-$state.log" ' ERROR ')")
		said+=("$(desktop_count "$name-$state.said" .)")
		desktop_in_order "$name-$state.frames" || wrong=$((wrong + 1))
		cat "$name-$state.said"
	done
	desktop_line "$1" "exit status" "${status[@]}" 0 0
	desktop_line "$1" "frames shown" "${shown[@]}" "$2" "$2"
	desktop_line "$1" "dma-bufs imported for it" "${imported[@]}" "$2" "$2"
	desktop_line "$1" "frames copied" "${copied[@]}" 0 0
	desktop_line "$1" "errors" "${errors[@]}" 0 0
	desktop_line "$1" "lines printed" "${said[@]}" 0 0
	desktop_fences "$1" "$3" "$4"
	((!wrong))
}

# Numbers that are not those: the checks of them can fail.
desktop_broken()
{
	local DESKTOP_TABLE=/dev/null frames=$DESKTOP_FRAMES
	expect 1 desktop_sink camera_on_screen $((frames + 1)) "$frames+" 0
	has "frames shown"
	has "WRONG, not $((frames + 1)) and $((frames + 1))"
	expect 1 desktop_sink camera_by_blitter "$frames" $((2 * frames))+ $((frames + 1))
	has "WRONG, not 0 and $((frames + 1))"
	printf '1 VIDEO_CAPTURE 5\n1 VIDEO_CAPTURE 4\n' >"$DESKTOP/disorder"
	expect 1 desktop_in_order "$DESKTOP/disorder"
	printf '1 VIDEO_OUTPUT_MPLANE 5\n1 VIDEO_OUTPUT_MPLANE 5\n' >"$DESKTOP/disorder"
	expect 1 desktop_in_order "$DESKTOP/disorder"
	: >"$DESKTOP/disorder"
	expect 1 desktop_in_order "$DESKTOP/disorder"
}

# What weston may complain of here, as a pattern and why
desktop_known=(
	# The kernel of the tests has no input and no seat daemon.
	'no input devices'
	# Mesa renders on no device.
	'failed to query rendering device from EGL'
	# It rendered for longer than a frame.
	'computed repaint delay'
)

# desktop_complaints FILE: lines of weston's log that say that something went wrong, but the known ones
desktop_complaints()
{
	local known
	known=$(IFS='|'; echo "${desktop_known[*]}")
	{ grep -i -E 'error|fail|warning|critical|unable|cannot' "$1" || [[ $? == 1 ]]; } |
		{ grep -v -i -E "$known" || [[ $? == 1 ]]; }
}

desktop_compositor()
{
	local state wrong=0 shown=() status=() complaints=() name=$DESKTOP/compositor
	for state in off on; do
		shown+=("$(desktop_count "$name-$state.log" 'wl_callback#[0-9]+\.done\([1-9]')")
		status+=("$(<"$name-$state.status")")
		desktop_complaints "$name-$state.weston" >"$name-$state.complaints"
		cat "$name-$state.complaints"
		complaints+=("$(desktop_count "$name-$state.complaints" .)")
		desktop_in_order "$name-$state.frames"
	done
	desktop_line compositor "exit status" "${status[@]}" 0 0
	desktop_line compositor "frames shown" "${shown[@]}" "$DESKTOP_FRAMES+" "$DESKTOP_FRAMES+"
	desktop_line compositor "complaints in weston's log" "${complaints[@]}" 0 0
	desktop_fences compositor "$DESKTOP_FRAMES+" 0
	((!wrong))
}

# What the display reads is the camera's memory, and the picture is there.
desktop_pictures()
{
	local state
	for state in off on; do
		expect 0 cat "$DESKTOP/compositor-$state.picture.exporter"
		has videobuf2
		expect 0 "$TESTS/programs/check-png" bars "$DESKTOP/compositor-$state.picture.png"
		# Before there was a client, neither was so: the checks can fail.
		expect 1 grep videobuf2 "$DESKTOP/compositor-$state.before.exporter"
		expect 1 "$TESTS/programs/check-png" bars "$DESKTOP/compositor-$state.before.png"
	done
}

printf '%-18s %-28s %10s %10s\n' program "$DESKTOP_FRAMES frames, release fences" off on >"$DESKTOP_TABLE"
check "GStreamer makes the stream" desktop_make
check "all programs run twice, and the kernel log has no report" desktop_run
check "kmssink shows the dma-bufs of vivid" \
	desktop_sink camera_on_screen "$DESKTOP_FRAMES" "$DESKTOP_FRAMES+" 0
check "kmssink shows those of rockchip-rga, behind vivid" \
	desktop_sink camera_by_blitter "$DESKTOP_FRAMES" $((2 * DESKTOP_FRAMES))+ "$DESKTOP_FRAMES"
check "kmssink shows those of rockchip-rga, behind hantro" \
	desktop_sink decoder_by_blitter "$DESKTOP_FRAMES" $((2 * DESKTOP_FRAMES)) $((2 * DESKTOP_FRAMES))
check "wrong numbers are found out" desktop_broken
check "weston shows those of vivid" desktop_compositor
check "the display behind weston reads the picture in vivid's memory" desktop_pictures
