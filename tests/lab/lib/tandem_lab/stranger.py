# SPDX-License-Identifier: BSD-3-Clause
"""Attaches an XDP program of somebody else's, which passes everything on, to the interface that is named. It stays."""

import ctypes
import os
import socket
import struct
import sys

BPF_PROG_TYPE_XDP = 6
XDP_PASS = 2
#: r0 = XDP_PASS; exit
PROGRAM = struct.pack("<BBhi", 0xB7, 0, 0, XDP_PASS) + struct.pack("<BBhi", 0x95, 0, 0, 0)


def attach(interface):
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    program = libbpf.bpf_prog_load(BPF_PROG_TYPE_XDP, b"stranger", b"BSD", PROGRAM, ctypes.c_size_t(len(PROGRAM) // 8), None)
    if program < 0:
        raise OSError(ctypes.get_errno(), "loading a program")
    if libbpf.bpf_xdp_attach(socket.if_nametoindex(interface), program, 0, None) != 0:
        raise OSError(ctypes.get_errno(), f"attaching a program to {interface}")
    os.close(program)


if __name__ == "__main__":
    attach(sys.argv[1])
