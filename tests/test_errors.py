"""Errors that the user can mend, and bugs."""

import pytest

from psa_core.errors import UserError, message_of, one_message
from psa_core.runtime.config import ConfigError


def test_messages():
    noted = UserError("map.npy: holds nan")
    noted.add_note("image cow")
    assert message_of(noted) == "map.npy: holds nan (image cow)"
    assert message_of(ConfigError("walk.t: 0")) == "walk.t: 0"
    assert message_of(OSError(28, "No space left on device", "a.npy")) == (
        "a.npy: No space left on device"
    )


@pytest.mark.parametrize("bug", [ValueError("x"), KeyError("x"), OSError("no file named")])
def test_bugs_have_no_message(bug):
    assert message_of(bug) is None
    with pytest.raises(type(bug)), one_message():
        raise bug


def test_an_error_of_the_data_loader_loses_its_frames():
    from torch.utils.data import DataLoader

    class Broken:
        def __len__(self):
            return 1

        def __getitem__(self, i):
            raise UserError("x.png: cannot be decoded: replace it")

    with pytest.raises(UserError) as error:
        next(iter(DataLoader(Broken(), num_workers=1)))
    assert "Traceback" in str(error.value)
    assert message_of(error.value) == "x.png: cannot be decoded: replace it"


def test_one_message_is_the_exit():
    with pytest.raises(SystemExit) as stop, one_message():
        raise UserError("dataset.root: not there")
    assert stop.value.code == "dataset.root: not there"
