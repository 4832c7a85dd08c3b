"""Run a Milvus server until stdin ends: `python milvus_server.py FOLDER`, in the environment .venv/engines-milvus.

It listens on all interfaces and insists on some ports, so it gets a network of its own where the system allows that.
What connects to FOLDER/socket reaches it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
import threading

_NEW_NET, _NEW_USER, _DEATH = 0x40000000, 0x10000000, 1
_SET_FLAGS, _UP = 0x8914, 0x1 | 0x40
_ETCD_PEERS = 2380  # the one port that cannot be chosen
_OPTIONS = {
    "common.security.authorizationEnabled": "true",  # the user root has the password Milvus
    "common.session.ttl": 3,  # back 10 s after kill -9, not 54
    "proxy.timeTickInterval": 20,  # ms until a reader sees the last write, not 200
    "queryCoord.checkInterval": 50,
    "queryCoord.distPullInterval": 50,
}
_MORE = {
    "QUERYCOORD_CHECKCHANNELINTERVAL": "50",
    "QUERYCOORD_CHECKSEGMENTINTERVAL": "50",
    "QUERYCOORD_UPDATENEXTTARGETINTERVAL": "0.2",
}
_libc = ctypes.CDLL(None, use_errno=True)


def enter_network() -> bool:
    """Give this process a network of its own, in which only loopback is; False where that is not allowed."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_NET):
        if _libc.unshare(_NEW_NET | _NEW_USER):
            return False
        for name, content in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(content)
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sH14s", b"lo", _UP, b""))
    return True


def die_with_parent() -> None:
    _libc.prctl(_DEATH, signal.SIGKILL)


def is_taken(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def pump(one: socket.socket, other: socket.socket) -> None:
    """Pass on what one sends until it ends."""
    try:
        while sent := one.recv(1 << 16):
            other.sendall(sent)
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
        one.close()


def serve(path: str, port: int) -> None:
    """Pass on every connection to a socket in the file system to a port of this network."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    while True:
        near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", port))
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=pump, args=(one, other), daemon=True).start()


def main(folder: str) -> None:
    import milvus

    die_with_parent()
    if not enter_network() and is_taken(_ETCD_PEERS):
        sys.stdout.write("taken\n")
        return
    popen = milvus.subprocess.Popen
    milvus.subprocess.Popen = lambda *args, **options: popen(*args, preexec_fn=die_with_parent, **options)
    os.environ.update(_MORE)
    server = milvus.MilvusServer()
    server.set_base_dir(folder)
    for name, value in _OPTIONS.items():
        server.config.set(name, value)
    server.start()
    path = os.path.join(folder, "socket")
    if os.path.lexists(path):
        os.unlink(path)
    threading.Thread(target=serve, args=(path, server.listen_port), daemon=True).start()
    sys.stdout.write(f"{server.server_proc.pid}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main(sys.argv[1])
