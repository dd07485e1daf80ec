# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# make tree and make refresh, in a small repository with a kernel of three files.

host_tests tree
