# SPDX-License-Identifier: BSD-3-Clause
"""A connection of the peer's kernel to a service of the pair's."""

import socket
import struct

ECHO = 7
#: What does not happen within this time took a neighbour's timeouts (30 s and more) or never happens.
AT_ONCE_S = 8
#: Offset of tcpi_total_retrans in struct tcp_info; SYNs that were sent again are among them.
_TOTAL_RETRANS = 100


class Talk:
    """Connected when it is made. `source`: an address of the peer's; `source_port`: the same one as a connection before, perhaps."""

    def __init__(self, network, to, source=None, port=ECHO, source_port=0):
        family = socket.AF_INET6 if ":" in to else socket.AF_INET
        self.socket = network.peer.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(AT_ONCE_S)
        try:
            if source or source_port:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                self.socket.bind((source or "", source_port))
            self.socket.connect((to, port, 0, self._scope(network)) if to.startswith("fe80") else (to, port))
        except OSError:
            self.socket.close()
            raise

    @staticmethod
    def _scope(network):
        return int(network.peer.run("ip", "-o", "link", "show", "p0").split(":")[0])

    def once(self, text=b"are you there?"):
        """One message and its echo."""
        self.socket.sendall(text)
        answer = b""
        while len(answer) < len(text):
            piece = self.socket.recv(len(text) - len(answer))
            if not piece:
                raise ConnectionError("the pair has closed the connection")
            answer += piece
        return answer == text

    def read_all(self):
        """All that comes until the pair closes."""
        data = b""
        while piece := self.socket.recv(65536):
            data += piece
        return data

    def retransmissions(self):
        """Segments that the peer's kernel has sent more than once, its SYN among them."""
        return struct.unpack_from("=I", self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), _TOTAL_RETRANS)[0]

    def close(self):
        self.socket.close()
