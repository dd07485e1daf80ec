# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# What a display and other consumers make of pictures that are still being written, and what a slow
# reader makes of one that is written next: rockchip-rga, hantro and vim2m in front of vkms. All of
# it runs in one machine; the checks are of what it left.

SCENE=$BUILD/vm/scratch/scene
# How many flips of pictures that are being written; a share with continuous integration
SCENE_FLIPS=${SCENE_FLIPS:-100}
scene_flips_on=$SCENE_FLIPS
scene_flips_off=$((SCENE_FLIPS * 3 / 10))
scene_flips_early=20
# How many pictures a slow reader reads with each kind of fence
scene_readings=$((SCENE_FLIPS / 5))
# Pictures of a camera through rockchip-rga to the display; an hour's worth in make test-long
SCENE_CAMERA=${SCENE_CAMERA:-100}

scene_run()
{
	local image
	"$ROOT/scripts/build-program"
	image=${SCENE_IMAGE:-$("$ROOT/scripts/kernel")}
	rm -rf "$SCENE"
	"$ROOT/scripts/vm" --timeout $((3000 + SCENE_CAMERA / 4)) --image "$image" -- "$TESTS/guest/scene" \
		"$CARGO_OUT/vb2-fence" "$scene_flips_on" "$scene_flips_off" "$scene_flips_early" \
		"$scene_readings" "$SCENE_CAMERA"
}

# scene_part NAME STATUS: what it printed is in $output
scene_part()
{
	expect 0 cat "$SCENE/$1.txt"
	[[ $(<"$SCENE/$1.status") == "$2" ]] || {
		echo "$1: status $(<"$SCENE/$1.status"), and not $2"
		return 1
	}
}

# scene_files PRODUCER: what is promised in its directory
scene_files()
{
	local file
	for file in {scene,reader}{-off.png,-on.png,.svg,.json,.txt}; do
		[[ -s $SCENE/$1/$file ]] || { echo "no $1/$file"; return 1; }
	done
	for file in scene reader; do
		/usr/bin/python3 -m json.tool "$SCENE/$1/$file.json" >/dev/null
		/usr/bin/python3 -c 'import sys, xml.dom.minidom as d; d.parse(sys.argv[1])' \
			"$SCENE/$1/$file.svg"
	done
	expect 0 cat "$SCENE/$1/scene.svg"
	has "release fences off"
	has "scanned out"
	expect 0 cat "$SCENE/$1/reader.svg"
	has "acquire fences off"
	has "its fence"
	has "QBUF"
}

# scene_reader PRODUCER READINGS: the slow reader's lines, and the counts with both kinds of fences
scene_reader()
{
	has "RIGHT: without acquire fences the reader gets parts of two pictures, with them its own"
	/usr/bin/python3 - "$SCENE/$1/reader.json" "$2" <<-'END'
	import json, sys
	d, readings = json.load(open(sys.argv[1])), int(sys.argv[2])
	for source in ("import_sync_file", "vgem"):
	    off, on = d["off"][source], d["on"][source]
	    print(source, off, on)
	    assert off["pictures"] == on["pictures"] == readings
	    assert on["torn"] == 0 and 2 * off["torn"] > readings
	END
}

# scene_count FILE HALF NAME: a number of the JSON
scene_count()
{
	/usr/bin/python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))[sys.argv[2]][sys.argv[3]])' "$SCENE/$1.json" "$2" "$3"
}

scene_rga()
{
	scene_part scene 0
	has "RIGHT: without release fences the display shows the old picture, with them the new one"
	scene_files rga
	expect 0 "$TESTS/programs/check-png" green "$SCENE/rga/scene-off.png"
	expect 0 "$TESTS/programs/check-png" frame 2026 "$SCENE/rga/scene-on.png"
}

scene_slow_reader()
{
	scene_part scene 0
	scene_reader rga "$scene_readings"
	expect 0 "$TESTS/programs/check-png" torn 2026 "$SCENE/rga/reader-off.png"
	expect 0 "$TESTS/programs/check-png" read 2026 "$SCENE/rga/reader-on.png"
}

# The check of the pixels can fail, and the program's too.
scene_early()
{
	expect 1 "$TESTS/programs/check-png" green "$SCENE/rga/scene-on.png"
	expect 1 "$TESTS/programs/check-png" frame 2026 "$SCENE/rga/scene-off.png"
	expect 1 "$TESTS/programs/check-png" frame 2027 "$SCENE/rga/scene-on.png"
	expect 1 "$TESTS/programs/check-png" read 2026 "$SCENE/rga/reader-off.png"
	expect 1 "$TESTS/programs/check-png" torn 2026 "$SCENE/rga/reader-on.png"
	expect 1 "$TESTS/programs/check-png" read 2027 "$SCENE/rga/reader-on.png"
	scene_part scene-early 1
	has "WRONG scanned out, on: not the new picture"
	has "WRONG picture that was read, on: not the picture that was there"
	expect 0 "$TESTS/programs/check-png" torn 2026 "$SCENE/early/reader-on.png"
	expect 1 "$TESTS/programs/check-png" frame 2026 "$SCENE/early/scene-on.png"
}

scene_flips()
{
	scene_part "flips-$1" "$2"
	[[ $(scene_count "flips-$1" "$3" frames) == "$4" ]]
	stale=$(scene_count "flips-$1" "$3" stale)
	echo "$stale of $4 stale"
}

scene_flips_are_new()
{
	scene_flips on 0 on "$scene_flips_on"
	((stale == 0))
}

# Not all: a slow machine can be late.
scene_flips_are_old()
{
	scene_flips off 0 off "$scene_flips_off"
	((2 * stale > scene_flips_off))
}

scene_flips_are_early()
{
	scene_flips early 1 on "$scene_flips_early"
	has "WRONG STALE pictures, on"
	((2 * stale > scene_flips_early))
}

scene_vpu()
{
	scene_part vpu 0
	has "RIGHT: without release fences the display shows the old picture, with them the new one"
	scene_reader vpu 3
	scene_files vpu
	expect 0 "$TESTS/programs/check-png" green "$SCENE/vpu/scene-off.png"
	expect 0 "$TESTS/programs/check-png" decoded 2026 "$SCENE/vpu/scene-on.png"
	expect 1 "$TESTS/programs/check-png" decoded 2026 "$SCENE/vpu/scene-off.png"
}

scene_vim2m()
{
	scene_part vim2m 0
	has "RIGHT: without release fences the display does not wait for the job, with them it does"
	scene_reader vim2m 3
	scene_files vim2m
}

scene_consumers()
{
	scene_part consumers 0
	has "picture: POLLIN             READY (stale)                 not ready"
	has "epoll, 64 dma-bufs"
	has "job: picture is read        starts                        waits"
	has "job: input is read          starts                        starts"
	has "29 of 29 lines right"
	/usr/bin/python3 -m json.tool "$SCENE/consumers.json" >/dev/null
}

# Both halves at once, whatever the parameter says.
scene_flips_both()
{
	scene_part flips-both 0
	[[ $(scene_count flips-both on stale) == 0 && $(scene_count flips-both off stale) != 0 ]]
}

# scene_pipeline NAME STATUS TEXT
scene_pipeline()
{
	scene_part "$1" "$2"
	has "$3"
}

# All ways, and what is handed on early.
scene_pipeline_numbers()
{
	scene_pipeline pipeline 0 "RIGHT: every picture was shown, in its order"
	/usr/bin/python3 - "$SCENE/pipeline.json" <<-'END'
	import json, sys
	d = json.load(open(sys.argv[1]))
	dqbuf, *early = d["ways"]
	assert [way["way"] for way in d["ways"]] == ["dqbuf", "implicit", "explicit"]
	for way in d["ways"]:
	    assert way["frames"] == 60 and way["checked"] == 6, way
	    assert 0 < way["median_ms"] <= way["percentile_99_ms"] <= way["longest_ms"], way
	    assert way["system_calls_per_frame"] > 5, way
	assert dqbuf["shown_early"] == 0 and dqbuf["ratio"] is None and d["right"]
	for way in early:
	    assert way["shown_early"] > 10 and way["ratio"]["median_ms"] > 0, way
	END
	expect 0 cat "$SCENE/pipeline.svg"
	/usr/bin/python3 -c 'import sys, xml.dom.minidom as d; d.parse(sys.argv[1])' "$SCENE/pipeline.svg"
	has "QBUF to flip, ms"
	has "explicit"
}

# The deadlock of 2016: capture, mem2mem and display, with two buffers each.
scene_pipeline_camera()
{
	scene_pipeline pipeline-vivid 0 "RIGHT: every picture was shown, in its order"
	[[ $(/usr/bin/python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["ways"][0]["frames"])' "$SCENE/pipeline-vivid.json") == "$SCENE_CAMERA" ]]
	scene_pipeline pipeline-vivid-explicit 0 "RIGHT: every picture was shown, in its order"
}

scene_pipeline_refused()
{
	scene_pipeline pipeline-without-hardware 2 "/sys/module/rkemu/parameters/enable"
	scene_pipeline pipeline-off 2 "lacks release or acquire fences"
	scene_pipeline pipeline-explicit-off 2 "lacks release fences or in-fences"
}

# What is missing is said, and what was changed is put back.
scene_manners()
{
	scene_part without-hardware 2
	has "/sys/module/rkemu/parameters/enable"
	[[ $(<"$SCENE/switch") == [1Y] ]]
	[[ $(<"$SCENE/delay") == 10000 ]]
	[[ $(<"$SCENE/acquire") == "1 3000" ]]
}

check "all parts run, and the kernel log has no report" scene_run
check "vkms shows the old picture without fences, with them the new one" scene_rga
check "a slow reader gets torn pictures without fences, with them whole ones" scene_slow_reader
check "a late picture, and a reader that was given up, are found out" scene_early
check "$scene_flips_on flips with fences, none stale" scene_flips_are_new
check "$scene_flips_off flips without, stale ones" scene_flips_are_old
check "flips with and without fences in one run" scene_flips_both
check "flips to pictures after their interrupt, stale ones" scene_flips_are_early
check "hantro before the blitter" scene_vpu
check "vim2m, by the order only" scene_vim2m
check "other consumers, without fences and with them" scene_consumers
check "it says what is missing, and puts back what it changed" scene_manners
check "decoder, blitter and display, dequeued in between and handed on early" scene_pipeline_numbers
check "the same with vim2m" scene_pipeline pipeline-vim2m 0 "RIGHT: every picture was shown"
check "$SCENE_CAMERA pictures of vivid through rockchip-rga to the display" scene_pipeline_camera
check "pictures of vivid straight to the display" scene_pipeline pipeline-capture 0 "vivid -> vkms"
check "a pipeline whose fences come before the picture is found out" \
	scene_pipeline pipeline-early-implicit 1 "WRONG implicit: the display showed"
check "the same with explicit fences" \
	scene_pipeline pipeline-early-explicit 1 "WRONG explicit: the display showed"
check "a pipeline says what it needs" scene_pipeline_refused
