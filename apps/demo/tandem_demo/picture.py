# SPDX-License-Identifier: BSD-3-Clause
def draw(path, packets, kills, palette, first_pid, peer, device):
    return len(kills)
