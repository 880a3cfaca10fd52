"""A network of our own in which every address is this machine, nothing leads out, and nobody connects unseen.

`entered` moves the process that calls it, and what it starts from then on, into a new network namespace. There every
packet is looked at on the one interface: the first of a TCP connection, and each of UDP, by where it goes. So it does
not matter whether anything listens there. `NameServer` answers for every name, wherever it is asked.
"""

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from tests.torture.stores import CannotRun

_ALL_PROTOCOLS, _IPV4, _IPV6 = 0x0003, 0x0800, 0x86DD  # ETH_P_ALL, ETH_P_IP, ETH_P_IPV6
_TCP, _UDP = 6, 17
_SYN, _ACK = 0x02, 0x10
_SOL_PACKET, _PACKET_STATISTICS = 263, 6  # Linux; Python 3.11 has no names for them, nor for the next
_IP_PKTINFO = 8
_SO_ATTACH_FILTER = 26
_A = 1  # the type of a record with an IPv4 address
_NAME_PORT = 53

# For the kernel's packet filter (linux/filter.h): operation, how far to jump if so and if not, value. Offsets are those
# of Ethernet. Lets through TCP's first packets, and UDP.
_LOAD_BYTE, _LOAD_HALF, _LOAD_BYTE_AT_X, _IP_LENGTH_TO_X = 0x30, 0x28, 0x50, 0xB1
_AND, _GO_ON, _IF_EQUAL, _RETURN = 0x54, 0x05, 0x15, 0x06
_BEGINS = (
    (_LOAD_HALF, 0, 0, 12),
    (_IF_EQUAL, 0, 6, _IPV4),
    (_LOAD_BYTE, 0, 0, 23),
    (_IF_EQUAL, 11, 0, _UDP),
    (_IF_EQUAL, 0, 11, _TCP),
    (_IP_LENGTH_TO_X, 0, 0, 14),
    (_LOAD_BYTE_AT_X, 0, 0, 27),
    (_GO_ON, 0, 0, 5),
    (_IF_EQUAL, 0, 7, _IPV6),
    (_LOAD_BYTE, 0, 0, 20),
    (_IF_EQUAL, 4, 0, _UDP),
    (_IF_EQUAL, 0, 4, _TCP),
    (_LOAD_BYTE, 0, 0, 67),
    (_AND, 0, 0, _SYN | _ACK),
    (_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)

_ROUTES = (
    ("link", "set", "lo", "up"),
    ("route", "add", "local", "0.0.0.0/0", "dev", "lo"),
    ("-6", "route", "add", "local", "::/0", "dev", "lo"),
)


class Destination(NamedTuple):
    protocol: str  # "tcp" or "udp"
    address: str
    port: int


def require_namespaces() -> list[str]:
    """What to put before a command to run it in such a network. Raises CannotRun where that is not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None or shutil.which("ip") is None:
        raise CannotRun("needs unshare (util-linux) and ip (iproute2)")
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = [unshare, "--net", *rights, "--"]
    if subprocess.run([*command, "ip", "link", "set", "lo", "up"], capture_output=True, check=False).returncode:
        raise CannotRun("network namespaces are not allowed here")
    return command


def make_every_address_ours() -> None:
    """To be called in the new network."""
    for arguments in _ROUTES:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Watch:
    """Where everybody in this network has connected to, or sent a datagram, from now on."""

    def __init__(self) -> None:
        self._packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL_PROTOCOLS))
        self._let_through_what_begins()
        self._packets.settimeout(0.1)
        self._is_over = False
        self.seen: dict[Destination, int] = {}
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def end(self) -> None:
        """Look at what has been sent so far, and no further."""
        self._is_over = True
        self._thread.join()
        _, dropped = struct.unpack("II", self._packets.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        self._packets.close()
        if dropped:
            raise CannotRun(f"{dropped} packets were too many to be looked at")

    def _let_through_what_begins(self) -> None:
        """Have the kernel leave out all else: with some thousand requests it is more than can be looked at."""
        instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in _BEGINS))
        program = struct.pack("@HP", len(_BEGINS), ctypes.addressof(instructions))
        self._packets.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)

    def _look(self) -> None:
        while True:
            try:
                packet, sender = self._packets.recvfrom(2048)
            except TimeoutError:
                if self._is_over:
                    return
                continue
            # Each passes loopback twice, going out and coming in.
            if sender[2] == socket.PACKET_OUTGOING and (destination := _destination(packet, sender[1])) is not None:
                self.seen[destination] = self.seen.get(destination, 0) + 1


def _destination(frame: bytes, kind: int) -> Destination | None:
    packet = frame[14:]  # after the Ethernet header, which loopback has too
    if kind == _IPV4:
        protocol, at, address = packet[9], (packet[0] & 0x0F) * 4, packet[16:20]
    elif kind == _IPV6:
        protocol, at, address = packet[6], 40, packet[24:40]
    else:
        return None
    source, port = struct.unpack(">HH", packet[at : at + 4])
    if protocol == _TCP:
        begins = packet[at + 13] & (_SYN | _ACK) == _SYN
        return Destination("tcp", str(ip_address(address)), port) if begins else None
    if protocol == _UDP and source != _NAME_PORT:  # those are answers of the name server
        return Destination("udp", str(ip_address(address)), port)
    return None


class NameServer:
    """Answers every look-up, to whatever address it was sent, with the IPv4 addresses that it is told to."""

    def __init__(self, answer: Callable[[str], Sequence[str]]) -> None:
        self._answer = answer
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        self._socket.bind(("", _NAME_PORT))
        self._socket.settimeout(0.1)
        self._is_over = False
        self.asked: list[str] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def end(self) -> None:
        self._is_over = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._is_over:
            try:
                question, notes, _, asker = self._socket.recvmsg(512, socket.CMSG_SPACE(12))
            except TimeoutError:
                continue
            _, _, told = struct.unpack("=I4s4s", notes[0][2])
            # The answer comes from where the question went, or the resolver does not take it.
            note = (socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=I4s4s", 0, told, bytes(4)))
            self._socket.sendmsg([self._reply(question)], [note], 0, asker)

    def _reply(self, question: bytes) -> bytes:
        name, at = [], 12
        while question[at]:
            name.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
            at += 1 + question[at]
        kind = int.from_bytes(question[at + 1 : at + 3], "big")
        asked = question[12 : at + 5]
        addresses: Sequence[str] = ()
        if kind == _A:
            self.asked.append(".".join(name))
            addresses = self._answer(".".join(name))
        head = question[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", _A, 1, 0, 4) + socket.inet_aton(each) for each in addresses
        ]  # for no time at all: the next look-up asks again
        return head + asked + b"".join(records)
