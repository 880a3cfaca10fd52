"""A provider on a plain socket that says whatever a test tells it to."""

import socket
import threading
from collections.abc import Callable

Answer = Callable[[socket.socket], None]


class HostileProvider:
    """Answers each connection's first request with what it was told to, over a plain socket."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.answer: Answer = lambda connection: None
        self.record: bytes | None = None  # of any call, if it keeps records
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._speak, args=(connection,), daemon=True).start()

    def _speak(self, connection: socket.socket) -> None:
        with connection:
            try:
                request = connection.recv(65536)
                if b"/generation?" in request and self.record is not None:
                    head = f"HTTP/1.1 200 OK\r\ncontent-length: {len(self.record)}\r\nconnection: close\r\n\r\n"
                    connection.sendall(head.encode() + self.record)
                elif request.startswith(b"GET "):
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                else:
                    self.answer(connection)
            except OSError:
                return
