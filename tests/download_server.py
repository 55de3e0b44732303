"""A server on this machine for downloads: whole, broken, wrong, and without resuming."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """Serves `files`; `breaks` holds after how many bytes of each coming answer it hangs up."""

    def __init__(self, files, *, breaks=(), has_ranges=True, status=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.breaks, self.has_ranges = files, list(breaks), has_ranges
        self.status = status
        self.ranges = []  # the Range header of each request, or None

    def url(self, name="file.bin"):
        return f"http://127.0.0.1:{self.server_port}/{name}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server, content = self.server, self.server.files[self.path[1:]]
        asked = self.headers["Range"]
        server.ranges.append(asked)
        if server.status:
            return self.send_error(server.status)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if not server.has_ranges:
            start = 0
        if start and start >= len(content):
            self.send_response(416)
            self.end_headers()
            return None
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + server.breaks.pop(0) if server.breaks else None
        self.wfile.write(content[start:end])
        return None

    def log_message(self, *args):
        pass


@contextmanager
def servers(files: dict[str, bytes]) -> Iterator[Callable[..., Server]]:
    """A function that starts servers of these files, or of others; they end with the block."""
    started = []

    def start(others: dict[str, bytes] | None = None, **options) -> Server:
        started.append(Server(others or files, **options))
        threading.Thread(target=started[-1].serve_forever, daemon=True).start()
        return started[-1]

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def md5(content):
    return hashlib.md5(content).hexdigest()


def packed(files, mode="w"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
