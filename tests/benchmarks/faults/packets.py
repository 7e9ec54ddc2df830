"""Drops packets of one control group's sockets by the peer's port: a BPF program at the group, without netfilter.

The program is attached by a link, a descriptor: closing it, or the end of this process, lets the packets pass again.
"""

import ctypes
import os
import platform
import socket
import struct
from collections.abc import Iterable
from pathlib import Path

SYSCALLS = {"x86_64": 321, "aarch64": 280}
PROG_LOAD, LINK_CREATE = 5, 28
CGROUP_SKB = 8
INGRESS, EGRESS = 0, 1
PEER_PORT = {INGRESS: 20, EGRESS: 22}
"""Where the peer's port is in an IPv4 packet without options, which TCP over the loopback interface sends."""

MOV, ADD, CALL, LOAD_SHORT, EQUAL, UNEQUAL, EXIT = 0xB7, 0x07, 0x85, 0x69, 0x15, 0x55, 0x95
MOV_REGISTER = 0xBF
SKB_LOAD_BYTES = 26
DROP, PASS = 0, 1

libc = ctypes.CDLL(None, use_errno=True)


def drop(group: Path, ports: Iterable[int]) -> list[int]:
    """Drop what sockets of the group send to these ports and get from them; the links. Raises OSError."""
    links: list[int] = []
    descriptor = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for direction, offset in PEER_PORT.items():
            program = _load(_program(offset, sorted(ports)), direction)
            try:
                links.append(_bpf(LINK_CREATE, struct.pack("=IIII", program, descriptor, direction, 0)))
            finally:
                os.close(program)
    finally:
        os.close(descriptor)
    return links


def _program(offset: int, ports: list[int]) -> bytes:
    """DROP if the two bytes at `offset` are one of the ports."""
    code = [
        _instruction(MOV, 2, value=offset),
        _instruction(MOV_REGISTER, 3, 10),
        _instruction(ADD, 3, value=-8),
        _instruction(MOV, 4, value=2),
        _instruction(CALL, value=SKB_LOAD_BYTES),
        _instruction(UNEQUAL, 0, value=0, jump=len(ports) + 1),
        _instruction(LOAD_SHORT, 1, 10, jump=-8),
    ]
    code += [
        _instruction(EQUAL, 1, value=socket.htons(port), jump=len(ports) - at + 1) for at, port in enumerate(ports)
    ]
    code += [_instruction(MOV, 0, value=PASS), _instruction(EXIT), _instruction(MOV, 0, value=DROP), _instruction(EXIT)]
    return b"".join(code)


def _instruction(code: int, to: int = 0, source: int = 0, *, jump: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | to, jump, value)


def _load(code: bytes, direction: int) -> int:
    instructions, licence = ctypes.create_string_buffer(code, len(code)), ctypes.create_string_buffer(b"GPL")
    head = struct.pack("=IIQQ", CGROUP_SKB, len(code) // 8, ctypes.addressof(instructions), ctypes.addressof(licence))
    return _bpf(PROG_LOAD, head + struct.pack("=IIQII16sII", 0, 0, 0, 0, 0, b"relay_faults", 0, direction))


def _bpf(command: int, attributes: bytes) -> int:
    number = SYSCALLS.get(platform.machine())
    if number is None:
        raise OSError(f"no number of bpf() is known for {platform.machine()}")
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = libc.syscall(number, command, buffer, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf: {os.strerror(ctypes.get_errno())}")
    return int(result)
