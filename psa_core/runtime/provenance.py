"""Digest of the code behind a script's results: the script and what it imports of this package.

The Snakefile computes it at every start. Files are parsed, not imported.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def code_digest(script: str | Path, *modules: str) -> str:
    """SHA-256, hexadecimal, of a script and of all modules of this package that it imports.

    script: path of the script. modules: see `imported_modules`.
    The digest is that of the syntax trees, so comments, docstrings and layout do not change it. It
    is the same under Python 3.11 and 3.12, except for format specifications that end with a field,
    `{x:{y}}`, which 3.12 may parse differently.
    Raises OSError if the script is missing, SyntaxError if a file cannot be parsed.
    """
    code, _ = _read(Path(script))
    whole = [code, *sorted(imported_modules(script, *modules).items())]
    return hashlib.sha256(repr(whole).encode()).hexdigest()


def imported_modules(script: str | Path, *modules: str) -> dict[str, str]:
    """The modules of this package that a script imports, directly or through other modules.

    script: path of the script.
    modules: full names ("psa_core.method.cam") of modules that the script imports by a computed
    name, which parsing cannot find.
    Imports inside functions count, those under `if TYPE_CHECKING` do not.
    Returns {full name: SHA-256 of its syntax tree, hexadecimal}.
    Raises OSError and SyntaxError as `code_digest` does.
    """
    found: dict[str, str] = {}
    waiting = [*_read(Path(script))[1], *(name for each in modules for name in _with_parents(each))]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name], imported = _read(_file_of(name))
            waiting += imported
    return found


@functools.cache
def _read(path: Path) -> tuple[str, list[str]]:
    """SHA-256 of a file's syntax tree, and the names of this package's modules that it imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    is_script = not path.is_relative_to(PACKAGE)
    package = "" if is_script else ".".join(path.parent.relative_to(PACKAGE.parent).parts)
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            # Each name is a module or something in one.
            names |= {f"{source}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
            fields = vars(node)
            if not fields.get("type_params", True):
                del fields["type_params"]  # Python 3.11 has none
    imported = {m for name in names for m in _with_parents(name) if _file_of(m)}
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), sorted(imported)


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements of a module, but not those under `if TYPE_CHECKING`."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for part in ("body", "handlers", "cases", "orelse", "finalbody"):
            if part == "body" and isinstance(node, ast.If) and _is_type_checking(node.test):
                continue
            waiting += getattr(node, part, [])


def _is_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test).removeprefix("typing.") == "TYPE_CHECKING"


def _with_parents(name: str) -> list[str]:
    """["a", "a.b", "a.b.c"] for "a.b.c": importing it runs them all."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


@functools.cache
def _file_of(name: str) -> Path | None:
    """The file of a module of this package; None for any other name."""
    path = PACKAGE.parent / name.replace(".", "/")
    files = [path / "__init__.py", path.with_suffix(".py")]
    is_ours = name.split(".")[0] == PACKAGE.name
    return next((file for file in files if file.is_file()), None) if is_ours else None
