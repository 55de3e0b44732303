"""The command `psa`: what it imports, how it fails, `psa info`."""

import argparse
import importlib
import json
import subprocess
import sys

import pytest
import torch
from seeds import ROOT

from psa_core import __version__
from psa_core.delivery import cli
from psa_core.networks.builder import build
from psa_core.networks.files import write_network

SETTINGS = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
SETTINGS |= {"channels": None, "dropout": 0.0}


def psa(*arguments: str) -> subprocess.CompletedProcess:
    """The command in a process of its own, which prints the modules that it has imported."""
    code = "import sys; from psa_core.delivery.cli import main; status = main();"
    code += "print(*sys.modules, file=sys.stderr); sys.exit(status)"
    command = [sys.executable, "-c", code, *arguments]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.fixture
def network(tmp_path):
    """The file of a CAM network of two classes."""
    path = tmp_path / "cam.safetensors"
    built = build("cam", SETTINGS, 2, pretrained=False)
    about = {"dataset": "zoo", "seed": 3, "images": {"bands": [4, 3, 2], "value_range": []}}
    write_network(path, built, "cam", SETTINGS, ["big cat", "dog"], **about)
    return path


@pytest.mark.parametrize("command", [[sys.executable, "-m", "psa_core"]])
def test_help_lists_the_commands(command):
    done = subprocess.run(
        [*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(name in done.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_its_module(name):
    module = importlib.import_module(f"psa_core.delivery.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert all(action.help for action in parser._actions)
    assert callable(module.run)


def test_an_unknown_command_and_none_are_usage_errors(capsys):
    for arguments in (["predikt"], []):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 2
        assert "usage: psa" in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"psa_core {__version__}\n"


def test_info_tells_what_a_network_is_without_torch(network):
    done = psa("info", str(network))
    assert done.returncode == 0, done.stderr
    assert "torch" not in done.stderr.split()
    facts = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert facts["stage"] == "cam"
    assert facts["classes"] == "1 big cat, 2 dog"
    assert facts["data set"] == "zoo"
    assert facts["seed"] == "3"
    assert facts["images"] == "bands [4, 3, 2]"
    numbers = sum(
        t.numel() for t in build("cam", SETTINGS, 2, pretrained=False).state_dict().values()
    )
    assert f"{numbers / 1e6:.2f} million numbers" in facts["file"]
    assert 'backbone "resnet18"' in facts["network"]


def test_info_prints_all_as_json(network, capsys):
    assert cli.main(["info", "--json", str(network)]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["big cat", "dog"]


def test_a_problem_is_one_message_and_status_2(tmp_path, capsys):
    assert cli.main(["info", str(tmp_path / "nothing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    torch.save({"a": torch.ones(2)}, tmp_path / "network.pt")
    assert cli.main(["info", str(tmp_path / "network.pt")]) == 2
    assert "run the workflow again" in capsys.readouterr().err
