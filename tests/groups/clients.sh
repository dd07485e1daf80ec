# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Programs that people use, on the drivers hantro and rockchip-rga and the emulated hardware: each
# frame arrives once and in order, with release fences as without, and v4l2-compliance says the same
# as without the patches (tests/expected/rkemu). The programs are those of Debian 13, from scripts/debian-rootfs.

# shellcheck source=tests/lib/gstreamer.sh
. "$TESTS/lib/gstreamer.sh"

CLIENTS=$BUILD/clients
CLIENTS_SIZE=192x128
declare -A CLIENTS_FRAMES=([h264]=300 [h264-b]=300 [mpeg2]=120 [vp8]=120)
CLIENTS_STREAMS=(h264 h264-b mpeg2 vp8)
# What vb2-fence has GStreamer play
CLIENTS_FILM=mpeg2
CLIENTS_BLITS=300
CLIENTS_BLIT_SIZE=128x96
CLIENTS_PAIRS=(NV12-AR24 AR24-NV12 YU12-RGBP RGB3-NV16 XR24-BGR3)

# clients_encode NAME ELEMENT...: a film of so many frames, as the elements make it
clients_encode()
{
	local name=$1
	shift
	debian_gst "$("$ROOT/scripts/debian-rootfs")" "$CLIENTS/registry" \
		videotestsrc pattern=ball num-buffers="${CLIENTS_FRAMES[$name]}" ! \
		"video/x-raw,format=I420,width=${CLIENTS_SIZE%x*},height=${CLIENTS_SIZE#*x},framerate=30/1" ! \
		"$@" ! filesink location="$CLIENTS/$name"
	[[ -s $CLIENTS/$name ]]
}

# clients_make: streams, raw pictures, and the list of what the guest does with them
clients_make()
{
	local name pair
	rm -rf "$CLIENTS"
	mkdir -p "$CLIENTS"
	clients_encode h264 x264enc bframes=0 key-int-max=60 bitrate=500 ! \
		video/x-h264,profile=main,stream-format=byte-stream,alignment=au
	clients_encode h264-b x264enc bframes=2 b-adapt=false key-int-max=60 bitrate=500 ! \
		video/x-h264,profile=main,stream-format=byte-stream,alignment=au
	clients_encode mpeg2 mpeg2enc format=3 b-per-refframe=0
	clients_encode vp8 vp8enc deadline=1 target-bitrate=500000 ! webmmux
	for name in "${CLIENTS_STREAMS[@]}"; do
		echo "decode $name $CLIENTS/$name ${name%-b}"
	done >"$CLIENTS/jobs"
	for pair in "${CLIENTS_PAIRS[@]}"; do
		"$TESTS/programs/numbered-frames" make "${pair%-*}" "$CLIENTS_BLIT_SIZE" "$CLIENTS_BLITS" "$CLIENTS/$pair"
		echo "blit $pair $CLIENTS/$pair $CLIENTS_BLIT_SIZE $CLIENTS_BLITS"
	done >>"$CLIENTS/jobs"
	echo "board board $CLIENTS/$CLIENTS_FILM" >>"$CLIENTS/jobs"
	ls -l "$CLIENTS"
}

clients_run()
{
	"$ROOT/scripts/build-program"
	rm -rf "$BUILD/vm/scratch/clients"
	mkdir -p "$BUILD/vm/scratch/clients"
	"$ROOT/scripts/vm" --timeout 3600 --udev -- "$TESTS/guest/clients" \
		"$("$ROOT/scripts/debian-rootfs")" "$CLIENTS/jobs" "$CARGO_OUT/vb2-fence"
}

clients_board()
{
	local film=${CLIENTS_FRAMES[$CLIENTS_FILM]}
	expect 0 cat "$BUILD/vm/scratch/clients/board.txt"
	has "playback: pass: $film pictures, the same without release fences and with them; $((2 * film)) fences"
	has "system calls: pass: a picture takes "
	has ", 0 failed, 2 not asked"
}

# clients_same NAME FORMAT SIZE FRAMES: the same pictures with release fences as without, and with
# them, a fence for each frame on each queue, signalled well; without, none
clients_same()
{
	local results=$BUILD/vm/scratch/clients queue fences
	for fences in on off; do
		"$TESTS/programs/numbered-frames" sums "${@:2}" "$results/$1-$fences" >"$results/sums-$fences"
	done
	diff "$results/sums-on" "$results/sums-off"
	for queue in cap out; do
		expect 0 grep "^$queue" "$results/$1-count"
		has "$queue on: $4 armed, $4 signalled"
		has "$queue off: 0 armed, 0 signalled"
	done
	rm "$results/$1-on" "$results/$1-off"
}

# clients_decoded NAME: VP8 is in a container that is not read here, so only its numbers are compared
clients_decoded()
{
	local name=$1 fences stream=("$CLIENTS/$1")
	[[ $name != vp8 ]] || stream=()
	for fences in on off; do
		"$TESTS/programs/numbered-frames" check NV12 "$CLIENTS_SIZE" "${CLIENTS_FRAMES[$name]}" \
			"$BUILD/vm/scratch/clients/$name-$fences" "${name%-b}" "${stream[@]}"
	done
	clients_same "$name" NV12 "$CLIENTS_SIZE" "${CLIENTS_FRAMES[$name]}"
}

clients_blitted()
{
	local pair=$1 fences
	for fences in on off; do
		"$TESTS/programs/numbered-frames" check "${pair#*-}" "$CLIENTS_BLIT_SIZE" "$CLIENTS_BLITS" \
			"$BUILD/vm/scratch/clients/$pair-$fences"
	done
	clients_same "$pair" "${pair#*-}" "$CLIENTS_BLIT_SIZE" "$CLIENTS_BLITS"
}

# clients_compliance: what to expect was recorded with the two drivers as Linux has them:
#
#   git -C build/linux diff HEAD "$(cat build/linux/.git/vb2/base)" -- \
#       drivers/media/platform/{verisilicon,rockchip} >build/unpatched.patch
#   CLIENTS_IMAGE=$(scripts/kernel --patch build/unpatched.patch) tests/run clients
#   cp build/logs/test/clients/verdicts.txt tests/expected/rkemu
clients_compliance()
{
	"$ROOT/scripts/vm" --timeout 900 --image "${CLIENTS_IMAGE:-$("$ROOT/scripts/kernel")}" -- \
		"$TESTS/guest/compliance" "$("$ROOT/scripts/debian-rootfs")" \
		rockchip,rk3568-vpu-dec rockchip-rga >"$TEST_LOGS/verdicts.txt"
	grep Total "$TEST_LOGS/verdicts.txt"
	diff "$TESTS/expected/rkemu" "$TEST_LOGS/verdicts.txt"
}

check "GStreamer's encoders make the streams" clients_make
check "GStreamer and v4l2-ctl do all of it twice, with release fences and without" clients_run
for name in "${CLIENTS_STREAMS[@]}"; do
	check "GStreamer decodes $name on hantro, ${CLIENTS_FRAMES[$name]} frames" \
		clients_decoded "$name"
done
check "vb2-fence goes through the gates of a board" clients_board
for pair in "${CLIENTS_PAIRS[@]}"; do
	check "v4l2-ctl sends $CLIENTS_BLITS frames through rockchip-rga, ${pair/-/ to }" \
		clients_blitted "$pair"
done
check "v4l2-compliance -s of hantro and rockchip-rga as without the patches" \
	clients_compliance
