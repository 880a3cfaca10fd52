"""A provider on a real socket that sends what another has sent, byte for byte, however it is cut."""

import json
import random
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress

from tests.upstream.recordings import Recording


class Replaying:
    """Replays the recording that the request names in `user`; `seed` says how it is cut, None that it is not."""

    def __init__(self, recordings: Iterable[Recording]) -> None:
        self.seed: int | None = None
        self._recordings = {each.name: each for each in recordings}
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as received:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while line := received.readline():
                length = 0
                for header in iter(received.readline, b"\r\n"):
                    name, _, value = header.partition(b":")
                    length = int(value) if name.lower() == b"content-length" else length
                body = received.read(length)
                if line.startswith(b"GET "):
                    record = b'{"data":{"total_cost":0.00001}}'  # for the recording that tells no cost
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(record), record))
                else:
                    self._replay(connection, self._recordings[json.loads(body)["user"]])

    def _replay(self, connection: socket.socket, recording: Recording) -> None:
        """Under the head that OpenRouter gives a stream (openrouter.md §2.1)."""
        kind = "text/event-stream" if recording.is_stream else "application/json"
        head = f"HTTP/1.1 {recording.status} X\r\ncontent-type: {kind}\r\ncache-control: no-cache\r\n"
        connection.sendall(head.encode() + b"transfer-encoding: chunked\r\nx-generation-id: gen-1\r\n\r\n")
        for piece in _pieces(recording.body, self.seed):
            connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")


def _pieces(body: bytes, seed: int | None) -> list[bytes]:
    if seed is None:
        return [body]
    chance = random.Random(seed)
    largest = chance.choice((3, 40, 400))
    pieces = []
    while body:
        size = chance.randint(1, largest)
        pieces.append(body[:size])
        body = body[size:]
    return pieces
