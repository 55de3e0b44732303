"""Print what the fast tests ran of psa_core, and fail if it is too little: part of `make test`.

Processes that tests start are not counted, and they are many: the stages of whole runs, and forked
workers.
"""

import json
import sys
from pathlib import Path

LEAST = {"statements": 92, "branches": 85}  # per cent


def main(report: str) -> int:
    """report: the file that `coverage json` wrote."""
    totals = json.loads(Path(report).read_text())["totals"]
    found = {kind: totals[f"percent_{kind}_covered"] for kind in LEAST}
    counts = f"{totals['num_statements']} statements", f"{totals['num_branches']} branches"
    shown = (f"{share:.1f} % of {of}" for share, of in zip(found.values(), counts, strict=True))
    print(f"psa_core: the tests ran {' and '.join(shown)}")
    lacking = [f"{least} % of {kind}" for kind, least in LEAST.items() if found[kind] < least]
    if lacking:
        print(f"at least {' and '.join(lacking)} must be run: add tests")
    return int(bool(lacking))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
