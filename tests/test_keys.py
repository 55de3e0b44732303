"""Keys that are twice in a YAML file."""

import pytest

from psa_core.runtime.config import ConfigError
from psa_core.runtime.keys import check_keys


def test_a_key_that_is_there_twice_is_named_with_both_lines(tmp_path):
    text = "walk:\n  t: 1\n  beta: 2\n  t: 3\nseed: 0\nsweeps: [{a: 1, a: 2}]\nseed: 1\n"
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        check_keys(tmp_path / "c.yaml")
    lines = str(error.value).splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        "the key seed is in line 5 and again in line 7: join them",
        "the key t is in line 2 and again in line 4: join them",
        "the key a is in line 6 and again in line 6: join them",
    ]


@pytest.mark.parametrize("text", ["", "a: &x {b: 1}\nc: *x\nd: {<<: *x, <<: *x}\n", "[1, 2]"])
def test_yaml_without_repeated_keys(tmp_path, text):
    (tmp_path / "c.yaml").write_text(text)
    check_keys(tmp_path / "c.yaml")
