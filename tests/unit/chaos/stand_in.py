"""A stand-in for a service: answers 200 with its environment. Stdlib only: it starts at once."""

import json
import os
import signal
import socket
import sys
import time

if "--crash" in sys.argv:
    sys.stdout.write("no puedo arrancar\n")
    sys.exit(3)
if "--stubborn" in sys.argv:
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
            body = json.dumps(dict(os.environ) | {"_pid": os.getpid()}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode() + body)
finally:
    with open(os.path.join(os.environ["DATA_DIR"], "order.txt"), "a") as file:
        file.write(f"{os.environ['NAME']} {time.monotonic()}\n")
