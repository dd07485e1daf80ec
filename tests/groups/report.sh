# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash disable=SC2164
#
# The main job.

report_run()
{
	"$ROOT/scripts/run"
	/usr/bin/python3 -m json.tool "$BUILD/report.json" >/dev/null
}

check "what consumers see while the job runs" report_run
