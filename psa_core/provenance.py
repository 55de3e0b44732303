"""The code that a script's results depend on: the script and all that it imports of this package.

The Snakefile reads it at each start: files are parsed, none is imported.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_digest(script: str | Path) -> str:
    """SHA-256 of a script and of the modules of this package that it imports, at any depth.

    Of the code as Python parses it, so that comments, docstrings and layout change nothing. Imports
    inside functions count, those under `if TYPE_CHECKING` do not. A module that is imported by a
    computed name is not seen. The same under Python 3.11 and 3.12, but for format specifications
    that end with a field, `{x:{y}}`: 3.12 may parse these otherwise.
    Raises OSError where there is no such file, SyntaxError where one cannot be parsed.
    """
    code, waiting = _read(Path(script))
    modules: dict[str, str] = {}
    while waiting:
        name, *waiting = waiting
        if name not in modules:
            modules[name], imported = _read(_file_of(name))
            waiting += imported
    whole = [code, *sorted(modules.items())]
    return hashlib.sha256(repr(whole).encode()).hexdigest()


@functools.cache
def _read(path: Path) -> tuple[str, list[str]]:
    """(code, names of the modules of this package that it imports)."""
    tree = ast.parse(path.read_text(encoding="utf-8"), path)
    is_script = not path.is_relative_to(PACKAGE)
    package = "" if is_script else ".".join(path.parent.relative_to(PACKAGE.parent).parts)
    names: set[str] = set()
    for node in _statements(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            names |= {f"{source}.{alias.name}" for alias in node.names}  # a module, or in one
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
            if not getattr(node, "type_params", True):
                del node.type_params  # Python 3.11 has none
    return ast.dump(tree), sorted({m for name in names for m in _with_parents(name) if _file_of(m)})


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements; of an `if TYPE_CHECKING` only what runs."""
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
    """Importing a.b.c runs a and a.b, too."""
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def _file_of(name: str) -> Path | None:
    """The file of a module of this package; None for any other name."""
    path = PACKAGE.parent / name.replace(".", "/")
    files = [path / "__init__.py", path.with_suffix(".py")]
    is_ours = name.split(".")[0] == PACKAGE.name
    return next((file for file in files if file.is_file()), None) if is_ours else None
