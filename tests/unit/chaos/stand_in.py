"""A stand-in for a service: answers 200 with what it sees of itself. Stdlib only: it starts at once."""

import json
import os
import signal
import socket
import sys
import time


def seen() -> dict:
    """Its environment and, with an underscore, the rest of what a process is given."""
    return dict(os.environ) | {
        "_pid": os.getpid(),
        "_group": os.getpgid(0),
        "_parent": os.getppid(),
        "_argv": sys.argv[1:],
        "_path": sys.path[0],
        "_folder": os.getcwd(),
        "_files": sorted(os.listdir("/proc/self/fd")) if sys.platform == "linux" else [],
        "_streams": [os.fstat(number)[:2] for number in range(3)],
        "_interrupt": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    }


def main() -> None:
    mood = os.environ.get("MOOD")
    if mood == "crash":
        sys.stdout.write("no puedo arrancar\n")
        sys.exit(3)
    if mood == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server = socket.create_server(("127.0.0.1", int(os.environ["PORT"])), reuse_port=False)
    sys.stderr.write(f"escucha {os.environ['PORT']}\n")
    try:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                body = json.dumps(seen()).encode()
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
                )
                connection.sendall(head.encode() + body)
    finally:
        with open(os.path.join(os.environ["DATA_DIR"], "order.txt"), "a") as file:
            file.write(f"{os.environ['NAME']} {time.monotonic()}\n")


if __name__ == "__main__":
    main()
