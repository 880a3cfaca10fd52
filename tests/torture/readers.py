"""k: hundreds of clients read a byte a second of long answers that their provider sends as fast as it can."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.torture.load import Ask, chat, send
from tests.torture.plant import AMPLE, Key, Replica, running_plant
from tests.torture.result import Result, at_most, equal, none, told
from tests.torture.setting import Setting

TITLE = "slow readers: a byte a second"

_READ_S = 20  # so many bytes are read of each answer
_ANSWER_BYTES = 4 * 1024 * 1024  # far more than may be kept of it
_MOST_KIB = 256.0  # of each stream, in the process
_SMALL_BUFFER_BYTES = 4_096  # of the kernel, on the client's and the provider's side, so that it hides nothing
_QUICK_WITHIN_S = 2.0
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


class _Provider:
    """Sends every stream as fast as it is taken, from one that stops billing at a hang-up."""

    def __init__(self) -> None:
        self.sent_bytes: list[int] = []  # of each stream that was given up, or is under way
        self.under_way = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
            if request.startswith(b"GET "):
                writer.write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                writer.close()
                return
            lines = request.lower().split(b"\r\n")
            length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
            is_short = b'"short"' in await reader.readexactly(length)
        except (asyncio.IncompleteReadError, OSError):
            return  # it asks nothing more
        me = len(self.sent_bytes)
        self.sent_bytes.append(0)
        self.under_way += 1
        try:
            writer.write(_HEAD)
            for _ in range(0, 4_000 if is_short else _ANSWER_BYTES, len(_EVENT)):
                writer.write(_EVENT)
                await writer.drain()
                self.sent_bytes[me] += len(_EVENT)
            writer.write(_END)
            await writer.drain()
            writer.close()
        except OSError:
            return
        finally:
            self.under_way -= 1
            if not writer.is_closing():
                writer.transport.abort()  # of what is left to say nobody takes anything


def _event(content: str, **choice: object) -> bytes:
    choices = [{"index": 0, "delta": {"content": content}, "finish_reason": None, **choice}]
    data = {"id": "gen-1", "model": "m", "provider": "DeepInfra", "choices": choices}
    return b"data: " + json.dumps(data).encode() + b"\n\n"


_EVENT = _event("tea " * 500)
_USAGE = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11, "cost": 0.000001}
_END = _event("", finish_reason="stop") + b"data: " + json.dumps({"choices": [], "usage": _USAGE}).encode() + b"\n\n"


async def run(setting: Setting, command: str) -> Result:
    started_s = time.monotonic()
    readers = setting.scaled(500, 100)
    provider = _Provider()
    with running_plant(
        setting, name="k", teams={"ample": AMPLE}, time_scale=0, replicas=1, is_started=False
    ) as plant:  # fmt: skip
        replica, key = plant.replicas[0], plant.keys["ample"][0]
        async with _served(provider) as port:
            main = replica.config / "penstock.yaml"
            main.write_text(main.read_text().replace(f"127.0.0.1:{plant.sandbox_port}", f"127.0.0.1:{port}"))
            await asyncio.to_thread(replica.start)
            for _ in range(50):  # what the process needs once, it has then
                await _short(key, replica)
            before_kib = _resident_kib(replica.pid)
            provider.sent_bytes.clear()
            clients = [await _asked(key, replica) for _ in range(readers)]
            begun_s = time.monotonic()
            received = 0
            for _ in range(_READ_S):
                received += sum(await asyncio.gather(*(_read_a_byte(client) for client in clients)))
                await asyncio.sleep(max(0.0, 1 - (time.monotonic() - begun_s) % 1))
            stuck, sent = provider.under_way, sum(provider.sent_bytes)
            with_them_kib = _resident_kib(replica.pid)
            quick_s = time.monotonic()
            await _short(key, replica)
            quick_s = time.monotonic() - quick_s
            for client in clients:
                client.close()
            closed_s = await _closed_after_s(provider)
    figures = (
        told("clients that read a byte a second", readers),
        equal("bytes that each has read", received // readers, _READ_S),
        equal("streams under way then", stuck, readers),
        told("bytes that the provider could send of each 4 MiB", sent // readers),
        told("resident before, KiB", before_kib),
        at_most("resident more, KiB for each", (with_them_kib - before_kib) / readers, _MOST_KIB),
        at_most("another client's short stream meanwhile, s", quick_s, _QUICK_WITHIN_S),
        at_most("streams closed at the provider after all hung up, s", closed_s, 1.0 + readers / 100),
        none("streams under way in the end", provider.under_way),
    )
    return Result("k", TITLE, command, figures, time.monotonic() - started_s)


@asynccontextmanager
async def _served(provider: _Provider) -> AsyncIterator[int]:
    """Its port. In the end every connection is closed: those too that come in this moment, to ask for records."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER_BYTES)  # its connections inherit it
    writers: set[asyncio.StreamWriter] = set()
    is_over = False

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if is_over:
            writer.transport.abort()
            return
        writers.add(writer)
        tasks.create_task(provider.serve(reader, writer)).add_done_callback(lambda _: writers.discard(writer))

    async with asyncio.TaskGroup() as tasks:
        server = await asyncio.start_server(accept, sock=listener)
        try:
            yield listener.getsockname()[1]
        finally:
            is_over = True
            server.close()
            for writer in writers:
                writer.transport.abort()


async def _short(key: Key, replica: Replica) -> None:
    answer = await send(Ask(key, chat("stops", "short", is_stream=True, max_tokens=200)), replica.port)
    assert b"[DONE]" in answer.content, answer


async def _asked(key: Key, replica: Replica) -> socket.socket:
    """A client that has asked, and has begun to get its answer."""
    ask = Ask(key, chat("stops", "Write a long essay about tea", is_stream=True, max_tokens=4_000))
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER_BYTES)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", replica.port))
    await loop.sock_sendall(client, ask.head() + ask.body)
    return client


async def _read_a_byte(client: socket.socket) -> int:
    return len(await asyncio.get_running_loop().sock_recv(client, 1))


async def _closed_after_s(provider: _Provider) -> float:
    started_s = time.monotonic()
    while provider.under_way and time.monotonic() - started_s < 30:  # noqa: ASYNC110 - an experiment looks, and waits
        await asyncio.sleep(0.02)
    return time.monotonic() - started_s


def _resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
