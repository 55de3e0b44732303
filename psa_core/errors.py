"""Errors that the user can mend: shown as one message, where a bug keeps its traceback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(ValueError):
    """Data, settings or a file are not usable; the message names file or key, value and remedy."""


def message_of(error: BaseException) -> str | None:
    """What to tell the user about an error that they can mend; None for a bug.

    These are `UserError`, and an `OSError` that names a file (a full disk, no permission).
    """
    if isinstance(error, UserError):
        text = str(error)
        if "Original Traceback" in text:  # torch adds it to errors of the data loader's processes
            text = text.partition(f"{type(error).__name__}: ")[2].strip()
    elif isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    else:
        return None
    return text + "".join(f" ({note})" for note in getattr(error, "__notes__", []))


@contextmanager
def one_message() -> Iterator[None]:
    """Exit with the message alone where the block raises an error that the user can mend."""
    try:
        yield
    except (UserError, OSError) as error:
        if text := message_of(error):
            sys.exit(text)
        raise
