"""Try the readers of the user's files with inputs guided by coverage: part of `make fuzz`.

    python tests/faults/guided.py -max_total_time=60 -seed=1

The arguments are libFuzzer's, which atheris brings. The inputs grow from tests/corpus: an input
that reaches new code of psa_core is changed further. The first byte of an input chooses the reader,
the rest is the content of its file. A content that breaks the rules of readers.py fails the run; it
is printed and saved in tests/corpus, where test_corpus.py tries it from then on.
"""

from __future__ import annotations

import copy
import hashlib
import json
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

try:
    import atheris
except ImportError:
    print("skipped: atheris is not installed; it has wheels for Linux on x86-64 alone")
    sys.exit()
with atheris.instrument_imports(include=["psa_core"]):
    from readers import CORPUS, READERS, corpus
from seeds import ROOT

NAMES = list(READERS)
WORDS = ROOT / "tests/faults/words.txt"  # what a file is likely to hold
VALUES = (None, True, 0, -1, 1.5, "", "a.jpg", "\ud800", [], ["cat"], {}, {"id": 1})  # of JSON


def write_inputs(folder: Path) -> None:
    """The files of the corpus as inputs."""
    folder.mkdir()
    for number, (name, path) in enumerate(corpus()):
        (folder / str(number)).write_bytes(bytes([NAMES.index(name)]) + path.read_bytes())


def change(data: bytes, size: int, seed: int) -> bytes:
    """Another input: every second JSON with another value in one place, else with other bytes."""
    drawn = random.Random(seed)
    if data and NAMES[data[0] % len(NAMES)] == "json" and drawn.random() < 0.5:
        with suppress(ValueError, RecursionError, IndexError):  # no JSON, too deep, without values
            changed = data[:1] + change_json(data[1:], drawn)
            if len(changed) <= size:
                return changed
    return atheris.Mutate(data, size)


def change_json(text: bytes, drawn: random.Random) -> bytes:
    content = json.loads(text)
    places = list(places_of(content))
    entry, key = drawn.choice(places)
    values = [*VALUES, *(entry[key] for entry, key in places)]
    entry[key] = copy.deepcopy(drawn.choice(values))
    return json.dumps(content, separators=(",", ":")).encode()


def places_of(content: object) -> Iterator[tuple[dict | list, str | int]]:
    """(dictionary or list, key or index) of each value in a JSON."""
    entries = enumerate(content) if isinstance(content, list) else ()
    for key, value in content.items() if isinstance(content, dict) else entries:
        yield content, key
        yield from places_of(value)


def save(name: str, content: bytes) -> None:
    """Add a file to the corpus, unless it is there under another name."""
    path = CORPUS / name / hashlib.sha256(content).hexdigest()[:8]
    if all(content != other.read_bytes() for other in path.parent.glob("*")):
        path.write_bytes(content)
        print(f"saved as {path}", file=sys.stderr)


def check(folder: Path, data: bytes) -> None:
    """One input: its reader must keep to the rules of readers.py."""
    if not data:
        return
    name, content = NAMES[data[0] % len(NAMES)], data[1:]
    try:
        READERS[name](folder / name, content)
    except Exception:
        print(f"\n{name}: {content!r}", file=sys.stderr)
        save(name, content)
        raise


def run(folder: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    options = ["-max_len=2048", "-timeout=60", f"-dict={WORDS}", "-print_final_stats=1"]
    options += [f"-artifact_prefix={folder}/", *sys.argv[1:], f"{folder}/inputs"]
    atheris.Setup([sys.argv[0], *options], partial(check, folder), custom_mutator=change)
    atheris.Fuzz()


def main() -> None:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="psa_guided_", dir=memory) as folder:
        write_inputs(Path(folder) / "inputs")
        process = multiprocessing.get_context("fork").Process(target=run, args=(Path(folder),))
        process.start()
        process.join()
    sys.exit(process.exitcode)


if __name__ == "__main__":
    main()
