"""Downloads of large files: resumed after a break, verified, and unpacked safely."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import logging
import os
import shutil
import ssl
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from psa_core.errors import UserError
from psa_core.runtime import logs

log = logging.getLogger(__name__)
CHUNK = 2**20
BROKEN_TRANSFER = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
    ssl.SSLError,
)
BROKEN_ARCHIVE = (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


class DownloadError(UserError):
    """A download or an archive is not usable; the message names file, reason and remedy."""


def fetch(url: str, path: str | Path, md5: str, *, tries: int = 10, wait: float = 1.0) -> None:
    """Download a file, resuming from what an earlier attempt or run left in `<path>.part`.

    md5: hexadecimal. tries: number of attempts. wait: seconds before the second attempt, doubled
    before each further one, up to a minute.
    Raises DownloadError where the server refuses, where all attempts fail (what has arrived is
    kept), and where the checksum is wrong (the file is removed).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.touch()
    for attempt in range(1, tries + 1):
        try:
            _receive(url, part)
            break
        except BROKEN_TRANSFER as error:
            if isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500:
                raise DownloadError(f"{url}: {error}: correct it or name a mirror") from error
            if attempt == tries:
                raise DownloadError(
                    f"{url}: failed after {tries} attempts ({error}): start again to resume from "
                    f"the {part.stat().st_size} bytes in {part}, or name a mirror"
                ) from error
            log.warning("%s: %s; retrying in %.0f s", url, error, wait)
            time.sleep(wait)
            wait = min(2 * wait, 60)
    _check_sum(part, url, md5)
    os.replace(part, path)


def extract(archive: str | Path, folder: str | Path, *, below: str) -> None:
    """Unpack the files and folders below one folder of a tar archive into `folder`.

    Owners, permissions and times in the archive are ignored.
    Raises DownloadError where the archive is broken, or a member is a link, a device, or would be
    written outside `folder`. (tarfile's filter "data" needs Python 3.11.4.)
    """
    with open_tar(archive) as tar:
        members = [m for m in tar.getmembers() if m.name.startswith(f"{below}/")]
        if not members:
            raise DownloadError(f"{archive}: no {below} in this archive: remove it")
        for member in logs.progress(members, total=len(members), label="files"):
            name = PurePosixPath(member.name).relative_to(below)
            if ".." in name.parts:
                raise tarfile.TarError(f"{member.name} leads outside {below}")
            path = Path(folder, name)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                path.parent.mkdir(parents=True, exist_ok=True)
                with open_member(tar, member) as content, path.open("wb") as file:
                    shutil.copyfileobj(content, file)
            else:
                raise tarfile.TarError(f"{member.name} is neither a file nor a folder")


def open_member(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Open a file in an archive. Raises TarError for a member that has no content, as a folder."""
    content = tar.extractfile(member)
    if content is None:
        raise tarfile.TarError(f"{member.name} is not a file")
    return content


@contextmanager
def open_tar(path: str | Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive. Errors in the block that show that it is broken become DownloadError."""
    try:
        with tarfile.open(path) as tar:
            yield tar
    except BROKEN_ARCHIVE as error:
        reason = str(error).splitlines()[0]
        raise DownloadError(
            f"{path}: cannot be unpacked ({reason}): remove it, and the next run downloads it again"
        ) from error


def _receive(url: str, part: Path) -> None:
    """Append the missing bytes to `part`. Raises one of BROKEN_TRANSFER where some are missing."""
    start = part.stat().st_size
    headers = {"User-Agent": "psa-core"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # already complete; verify the checksum
            return
        raise
    with response:
        resumed = response.status == 206  # with 200 the server sends the whole file again
        length = int(response.headers.get("Content-Length", 0))
        if not length:
            raise DownloadError(f"{url}: the server sends no Content-Length: name a mirror")
        log.info("%s: %d bytes to download, %d present", url, length, start if resumed else 0)
        chunks = iter(lambda: response.read(CHUNK), b"")
        received = 0
        with part.open("ab" if resumed else "wb") as file:
            for chunk in logs.progress(
                chunks, total=-(-length // CHUNK), label=f"{part.stem}, MiB"
            ):
                received += file.write(chunk)
    if received < length:
        raise ConnectionError(f"closed after {received} of {length} bytes")


def _check_sum(part: Path, url: str, md5: str) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found != md5.lower():
        size = part.stat().st_size
        part.unlink()
        raise DownloadError(
            f"{url}: {size} bytes with MD5 {found}, expected {md5}: removed; start again, and "
            "if that does not help, name a mirror (or the new MD5, if the file has changed)"
        )
