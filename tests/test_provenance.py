"""Which edits change the digest of a script's code."""

import pytest

from psa_core.runtime import provenance
from psa_core.runtime.provenance import code_digest


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """Digest of a script beside a package of two modules and a subpackage, with other texts."""
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path / "ours")
    files = {
        "ours/__init__.py": "",
        "ours/a.py": "def f(x):\n    return x + 1\n",
        "ours/b.py": "def lazy():\n    from ours import a\n    return a.f\n",
        "ours/sub/__init__.py": "from . import c\n",
        "ours/sub/c.py": "from ..a import f as g\n",
        "oursandmore/__init__.py": "",
        "oursandmore/a.py": "from ours import a\n",
    }

    def digest_with(script: str, *modules: str, **changes: str) -> str:
        for name, text in {**files, "script.py": script, **changes}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        provenance._read.cache_clear()
        provenance._file_of.cache_clear()
        return code_digest(tmp_path / "script.py", *modules)

    return digest_with


@pytest.mark.parametrize(
    "script",
    [
        "import ours.a",
        "import json, ours.a as other",
        "from ours import a",
        "from ours import a as other",
        "from ours.a import f",
        "def main():\n    if True:\n        from ours.a import f",
        "try:\n    pass\nexcept OSError:\n    import ours.a",
        "match 1:\n    case 1:\n        import ours.a",
        "if TYPE_CHECKING:\n    import json\nelse:\n    import ours.a",
        "from ours import b",  # which imports it in a function
        "from ours.sub import c",  # by a relative import
        "import ours.sub",
    ],
)
def test_an_edit_of_an_imported_module_counts(digest, script):
    edited = {"ours/a.py": "def f(x):\n    return x + 2\n"}
    assert digest(script) != digest(script, **edited)


@pytest.mark.parametrize(
    "script",
    [
        "import json",
        "import ours",
        "import oursandmore.a",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ours.a",
        "import typing\nif typing.TYPE_CHECKING:\n    from ours import a",
        "text = 'from ours import a'",
    ],
)
def test_an_edit_of_another_module_does_not(digest, script):
    edited = {"ours/a.py": "def f(x):\n    return x + 2\n"}
    assert digest(script) == digest(script, **edited)


@pytest.mark.parametrize(
    ("text", "is_same"),
    [
        ("def f(x):\n    return x + 1  # more\n", True),
        ('"""Module."""\n\n\ndef f( x ):\n    """One more."""\n    return (x + 1)\n', True),
        ("def f(x):\n    return 1 + x\n", False),
        ("def f(y):\n    return y + 1\n", False),
        ("def f(x):\n    'text'\n    'another'\n    return x + 1\n", False),
        ("def f(x=0):\n    return x + 1\n", False),
        ("@print\ndef f(x):\n    return x + 1\n", False),
    ],
)
def test_only_code_counts(digest, text, is_same):
    script = "from ours.a import f"
    assert (digest(script) == digest(script, **{"ours/a.py": text})) == is_same


def test_what_a_package_imports_and_the_script_itself_count(digest):
    assert digest("import ours") != digest("import ours", **{"ours/__init__.py": "x = 1"})
    assert digest("import ours.a") != digest("import ours.a", **{"ours/__init__.py": "x = 1"})
    assert digest("import ours.a\nx = 1") != digest("import ours.a\nx = 2")


def test_a_module_imported_by_a_computed_name_counts_if_it_is_named(digest):
    """And all that it imports: b imports a in a function."""
    script = "import importlib\nimportlib.import_module('ours.' + 'b')"
    edited = {"ours/a.py": "def f(x):\n    return x + 2\n"}
    assert digest(script) == digest(script, **edited)
    assert digest(script, "ours.b") != digest(script, "ours.b", **edited)


def test_modules_that_import_each_other(digest):
    circle = {"ours/a.py": "from ours import b\n"}
    assert digest("import ours.a", **circle) == digest("import ours.a", **circle)


def test_an_imported_module_that_cannot_be_parsed_is_named(digest):
    with pytest.raises(SyntaxError) as error:
        digest("import ours.a", **{"ours/a.py": "def f(:"})
    assert error.value.filename.endswith("a.py")


def test_the_digest_is_the_same_under_python_3_11_and_3_12(digest):
    script = """
class A(dict[str, int]):
    x: int = 0

    async def f(self, *a, b: float = 1e-3, **c):
        return f"{self.x!r:>{b}d} {c['d']}" "e" f"{1}{{}}"
"""
    assert digest(script) == "0cc10b1ea5be5e0918b398e1b53c550fe849a6a24d85a5d4b713dab977ee6834"
