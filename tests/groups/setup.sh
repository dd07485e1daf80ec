# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# make setup: quick when there is nothing to do; elsewhere it names what is missing, and only that.

host_tests setup
