"""The tables of config/README.md, *What reruns when*, as sets of rules."""

import re

from seeds import ROOT


def read_table(heading: str) -> dict[str, str]:
    """{each name of the first column: the text of the second}; names are in backticks."""
    text = (ROOT / "config/README.md").read_text()
    rows = text.split(heading, 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    table: dict[str, str] = {}
    for row in rows:
        first, second = row.strip("|").split("|")
        for name in names_in(first):
            assert name not in table, f"{name} has two rows"
            table[name] = second.strip()
    return table


def names_in(text: str) -> set[str]:
    return set(re.findall(r"`([\w.]+)`", text))


RERUNS = read_table("| a change in | reruns |\n")
READERS = {
    rule: names_in(text) for rule, text in read_table("| results of | are read by |\n").items()
}


def first_rules(row: str) -> set[str]:
    """The rules that a row names: those whose own parameters or files change."""
    return names_in(RERUNS[row].partition("but not")[0])


def rules_of_row(row: str) -> set[str]:
    """All rules that rerun by a row of the first table."""
    if RERUNS[row].startswith("only"):
        return names_in(RERUNS[row])
    first, _, replaced = RERUNS[row].partition("but not")[0].partition("in place of")
    found = following(names_in(first)) | following(names_in(replaced)) - names_in(replaced)
    return found - names_in(RERUNS[row].partition("but not")[2])


def following(first: set[str]) -> set[str]:
    """These rules and all that read their results, directly or not."""
    found, waiting = set(), list(first)
    # The upper bound has the rules of the segmentation model, but not its labels.
    if first & {"index_images", "train_segmentation", "predict_segmentation"}:
        waiting.append("evaluate_upper_bound")
    while waiting:
        rule = waiting.pop()
        if rule not in found:
            found.add(rule)
            waiting += READERS.get(rule, ())
    return found - {"predict_test", "submission"}  # without a test set there are none


def row_of(key: str) -> str:
    """The row of a key: its own, or that of the innermost section with one; else the key."""
    parts = key.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in names if name in RERUNS), key)


def differences(found: dict, expected: dict) -> dict[str, str]:
    """Where they differ: rules that ran but were not expected (+), and the other way round (-)."""
    return {
        key: " ".join(
            [f"+{rule}" for rule in sorted(set(found[key]) - set(expected[key]))]
            + [f"-{rule}" for rule in sorted(set(expected[key]) - set(found[key]))]
        )
        for key in found
        if set(found[key]) != set(expected[key])
    }
