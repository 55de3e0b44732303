"""Mutants that the tests killed, of all, per module: the table of `make mutation`.

A mutant is the code with one small change, such as < for <=. It is killed if a test fails or
hangs. `mutmut results` lists the others, `mutmut show NAME` shows the change of one.
"""

import subprocess
import sys
from collections import Counter

KILLED = {"killed", "timeout"}


def main() -> None:
    """Print one row per module, then the total."""
    command = [sys.executable, "-m", "mutmut", "results", "--all", "true"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    every, killed = Counter(), Counter()
    for line in listed.splitlines():
        name, _, status = line.strip().partition(": ")
        module = name.rpartition(".")[0]
        for row in (module, "total"):
            every[row] += 1
            killed[row] += status in KILLED
    print(f"{'module':48} killed   all")
    for row in sorted(every, key=lambda row: (row == "total", row)):
        print(f"{row:48} {killed[row]:6} {every[row]:5}  {killed[row] / every[row]:.0%}")


if __name__ == "__main__":
    main()
