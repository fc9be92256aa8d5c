# SPDX-License-Identifier: BSD-3-Clause
"""What `./dev bench` measures with. One module a table, and below them: statistics, windows, the rig, the report."""
