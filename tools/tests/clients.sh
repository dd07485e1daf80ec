# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# Programs that people use, on the drivers hantro and rockchip-rga and the emulated hardware: each
# frame arrives once and in order, with release fences as without, and v4l2-compliance says the same
# as without the patches (rkemu.expected). The programs are those of Debian 13, from tools/debian-root.

CLIENTS=$BUILD/clients
clients_size=320x240
declare -A clients_frames=([h264]=300 [h264-b]=300 [mpeg2]=120 [vp8]=120)
clients_blits=300
clients_blit_size=128x96
clients_blit_pairs=(NV12-AR24 AR24-NV12 YU12-RGBP RGB3-NV16 XR24-BGR3)

# clients_vm TIMEOUT ARGUMENT...: clients-guest in the virtual machine, with the emulated hardware
clients_vm()
{
	local timeout=$1 image debian
	shift
	debian=$("$ROOT/tools/debian-root")
	image=${CLIENTS_IMAGE:-$("$ROOT/tools/kernel")}
	"$ROOT/tools/vm" --timeout "$timeout" --image "$image" -- \
		"$TESTS/clients-guest" "$debian" "$@"
}

# clients_gst PIPELINE...: the GStreamer of that Debian, on this machine
clients_gst()
{
	local debian loader
	debian=$("$ROOT/tools/debian-root")
	loader=$(echo "$debian"/usr/lib/*-linux-gnu/ld-linux-*.so.*)
	GST_PLUGIN_SYSTEM_PATH_1_0=${loader%/*}/gstreamer-1.0 GST_REGISTRY_1_0=$CLIENTS/registry \
	GST_REGISTRY_FORK=no \
		"$loader" --library-path "${loader%/*}" "$debian/usr/bin/gst-launch-1.0" -q "$@"
}

# clients_encode NAME ELEMENT...: a film of so many frames, as the elements make it
clients_encode()
{
	local name=$1
	shift
	clients_gst videotestsrc pattern=ball num-buffers="${clients_frames[$name]}" ! \
		"video/x-raw,format=I420,width=${clients_size%x*},height=${clients_size#*x},framerate=30/1" ! \
		"$@" ! filesink location="$CLIENTS/$name"
	[[ -s $CLIENTS/$name ]]
}

clients_streams()
{
	rm -rf "$CLIENTS"
	mkdir -p "$CLIENTS"
	clients_encode h264 x264enc bframes=0 key-int-max=60 bitrate=500 ! \
		video/x-h264,profile=main,stream-format=byte-stream,alignment=au
	clients_encode h264-b x264enc bframes=2 b-adapt=false key-int-max=60 bitrate=500 ! \
		video/x-h264,profile=main,stream-format=byte-stream,alignment=au
	clients_encode mpeg2 mpeg2enc format=3 b-per-refframe=0
	clients_encode vp8 vp8enc deadline=1 target-bitrate=500000 ! webmmux
	ls -l "$CLIENTS"
}

# clients_decode NAME CODEC [STREAM]: with release fences and without
clients_decode()
{
	local name=$1 codec=$2 fences
	shift 2
	[[ -s $CLIENTS/$name ]]
	clients_vm 900 decode "$codec" "$CLIENTS/$name"
	for fences in on off; do
		"$TESTS/frames" check NV12 "$clients_size" "${clients_frames[$name]}" \
			"$BUILD/vm/scratch/fences-$fences" "$codec" "$@"
	done
	cmp "$BUILD/vm/scratch/fences-on" "$BUILD/vm/scratch/fences-off"
	clients_fences "${clients_frames[$name]}"
	rm "$BUILD/vm/scratch"/fences-*
}

# clients_fences FRAMES: for each of them one fence on each queue, signalled well; without, none
clients_fences()
{
	local queue
	for queue in cap out; do
		expect 0 grep "^$queue" "$BUILD/vm/scratch/fences-count"
		has "$queue on: $1 armed, $1 signalled"
		has "$queue off: 0 armed, 0 signalled"
	done
}

clients_blit()
{
	local pair=$1 fences
	mkdir -p "$CLIENTS"
	"$TESTS/frames" make "${pair%-*}" "$clients_blit_size" "$clients_blits" "$CLIENTS/$pair"
	clients_vm 900 blit "$pair" "$clients_blit_size" "$clients_blits" "$CLIENTS/$pair"
	for fences in on off; do
		"$TESTS/frames" check "${pair#*-}" "$clients_blit_size" "$clients_blits" \
			"$BUILD/vm/scratch/fences-$fences"
	done
	cmp "$BUILD/vm/scratch/fences-on" "$BUILD/vm/scratch/fences-off"
	clients_fences "$clients_blits"
	rm "$BUILD/vm/scratch"/fences-* "$CLIENTS/$pair"
}

# clients_compliance: what to expect was recorded (rkemu.txt) with the two drivers as Linux has them:
#
#   git -C build/linux diff HEAD "$(cat build/linux/.git/vb2/base)" -- \
#       drivers/media/platform/{verisilicon,rockchip} >build/unpatched.patch
#   CLIENTS_IMAGE=$(tools/kernel --patch build/unpatched.patch) tools/test clients
clients_compliance()
{
	clients_vm 900 compliance >"$TEST_LOGS/rkemu.txt"
	grep Total "$TEST_LOGS/rkemu.txt"
	diff "$TESTS/rkemu.expected" "$TEST_LOGS/rkemu.txt"
}

check "clients: GStreamer's encoders make the streams" clients_streams
check "clients: GStreamer decodes H.264 on hantro" clients_decode h264 h264 "$CLIENTS/h264"
check "clients: GStreamer decodes H.264 with B-frames on hantro" \
	clients_decode h264-b h264 "$CLIENTS/h264-b"
check "clients: GStreamer decodes MPEG-2 on hantro" clients_decode mpeg2 mpeg2 "$CLIENTS/mpeg2"
check "clients: GStreamer decodes VP8 on hantro" clients_decode vp8 vp8
for pair in "${clients_blit_pairs[@]}"; do
	check "clients: v4l2-ctl sends frames through rockchip-rga, ${pair/-/ to }" clients_blit "$pair"
done
check "clients: v4l2-compliance -s of hantro and rockchip-rga as without the patches" \
	clients_compliance
