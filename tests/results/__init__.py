# SPDX-License-Identifier: GPL-2.0-only
"""The results of a test run as data: what wrote them, what reads them, what adds them up."""
