# SPDX-License-Identifier: GPL-2.0-only
#
# Sourced by groups that make streams: GStreamer of another Debian, on this machine.
# shellcheck shell=bash

# debian_gst ROOT REGISTRY PIPELINE...: the registry is a file that keeps what the plugins can do
debian_gst()
{
	local debian=$1 registry=$2 loader
	shift 2
	loader=$(echo "$debian"/usr/lib/*-linux-gnu/ld-linux-*.so.*)
	GST_PLUGIN_SYSTEM_PATH_1_0=${loader%/*}/gstreamer-1.0 GST_REGISTRY_1_0=$registry \
	GST_REGISTRY_FORK=no \
		"$loader" --library-path "${loader%/*}" "$debian/usr/bin/gst-launch-1.0" -q "$@"
}
