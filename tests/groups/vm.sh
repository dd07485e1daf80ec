# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# scripts/vm and the scanner of kernel logs: what they say is what all other checks rely on.

host_tests kernel_log_check
# Some of them have a limit of time, in which no kernel can be built.
"$ROOT/scripts/kernel" >/dev/null
# Most of the time a machine boots, on one processor.
host_tests vm -n 2 --dist loadgroup
