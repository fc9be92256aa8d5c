# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration: main (the play), peers, screen, wire (what the captures hold) and picture."""
