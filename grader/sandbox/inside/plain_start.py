"""The first lines of a tier 0 worker: connect back, warm up, serve."""

from __future__ import annotations

import json
import os
import socket
import sys
import time

from . import lockdown_portable, packages, worker


def main() -> None:
    """Read the configuration from standard input and serve; never returns."""
    config = json.loads(sys.stdin.buffer.readline())
    sock = socket.create_connection(("127.0.0.1", config["port"]))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    packages.allow(config["places"])
    packages.warm(config["imports"])
    sys.dont_write_bytecode = True
    # what importing took is not the student's
    cpu_seconds = config["cpu_seconds"] + time.process_time()
    lockdown_portable.limit(memory_mb=config["memory_mb"], cpu_seconds=cpu_seconds)
    sock.sendall(config["token"].encode())
    worker.serve_socket(sock)
