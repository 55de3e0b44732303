"""`psa predict`: the workflow's own bytes, whatever was interrupted; options; what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image
from scipy import ndimage
from seeds import ROOT, SEED, TINY_YAML
from workflow_runs import snakemake

from psa_core.datasets.decode import read_image
from psa_core.datasets.index import resized
from psa_core.delivery.cli import main
from psa_core.delivery.model import write_model
from psa_core.delivery.output import is_done, write_legend
from psa_core.delivery.prediction import what_was_found
from psa_core.method import segmentation
from psa_core.method.dcrf import dense_crf
from psa_core.networks.builder import build
from psa_core.networks.files import read_network, write_network
from psa_core.runtime.config import complete

# Name, width and height; in the folder of the run, val's images are those that begin with v.
IMAGES = {
    "t1.jpg": (64, 48),
    "t2.jpg": (64, 48),
    "t3.jpg": (64, 48),
    "t4.jpg": (64, 48),
    "v1.jpg": (96, 64),
    "v2.png": (64, 96),
    "cats/v1.jpg": (96, 64),
    "cats/my v.jpeg": (33, 70),
    "cats/v 3.jpg": (120, 80),
}
VAL = [name for name in IMAGES if "v" in name]
CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("restored")


class Run(NamedTuple):
    """A run on `IMAGES` that made predictions, and its model."""

    data: Path
    predictions: Path
    model: Path


def write_image(path: Path, size: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed + 100 * SEED)
    coarse = rng.integers(0, 256, (4, 5, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(coarse).resize(size).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("predict")
    data = folder / "zoo"
    rows = ["image,labels,split"]
    for number, (name, size) in enumerate(IMAGES.items()):
        write_image(data / "images" / name, size, number)
        label = ("cat", "dog")[number % 2]
        rows.append(f"{name},{label};,{'val' if name in VAL else 'train'}")
    (data / "labels.csv").write_text("\n".join(rows))
    config = yaml.safe_load(TINY_YAML.read_text())
    config["dataset"] = {"format": "folder", "root": str(data), "shards": 1}
    config["segmentation"]["inference"] = {"scales": [0.5, 1.0], "flip": True}
    config["segmentation"]["upper_bound"] = False
    config["affinity_labels"]["true_masks"] = []
    (folder / "zoo.yaml").write_text(yaml.safe_dump(config))
    schema = yaml.safe_load((ROOT / "config/schema.yaml").read_text())
    whole = complete(config, schema)
    settings, longest_side = whole["segmentation"], whole["longest_side"]
    pixels = [resized(read_image(data / "images" / name), longest_side) for name in VAL]
    for seed in range(SEED, SEED + 100):  # the first network that sees several classes in each
        torch.manual_seed(seed)
        network = build("segmentation", settings["network"], 2).eval()
        found = [segmentation.predict(network, [p], **settings["inference"]) for p in pixels]
        if all(len(np.unique(labels)) > 1 for labels in found):
            break
    path = folder / "results/segmentation/network.safetensors"
    write_network(path, network, "segmentation", settings["network"], ["cat", "dog"])
    snakemake(
        folder,
        *("--allowed-rules", "index_images", "predict_segmentation", "--config", "device=cpu"),
        *("--", "results/segmentation/predictions/val_0.txt"),
        config=folder / "zoo.yaml",
    )
    model = folder / "results/model.safetensors"
    inference = settings["inference"] | {"longest_side": longest_side}
    facts = {"inference": inference, "metrics": pd.DataFrame({"stage": []})}
    write_model(model, path, licence=None, **facts)
    return Run(data, path.with_name("predictions"), model)


@pytest.fixture
def run(made, tmp_path) -> Run:
    """The same, with images in a folder to change."""
    data = Path(shutil.copytree(made.data, tmp_path / "zoo"))
    return made._replace(data=data)


def predict(run: Run, output: Path, *arguments: str, images: list[str] | None = None) -> int:
    """Exit status of `psa predict` on two cores, as in the workflow's run."""
    given = [str(run.data / "images")] if images is None else images
    options = ["--output", str(output), "--threads", "2", "--device", "cpu", *arguments]
    return main(["predict", str(run.model), *given, *options])


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- the same code, the same bytes ----------------------------------------------------------------


def test_files_that_a_power_cut_left_empty_are_not_done(tmp_path):
    image, mask = tmp_path / "a.jpg", tmp_path / "a.png"
    image.touch()
    for content, expected in ((b"", False), (b"mask", True)):
        mask.write_bytes(content)
        assert is_done(image, {"masks": mask}) == expected


def test_masks_are_those_of_the_workflow(run, tmp_path):
    """Of images of five sizes, in sub-folders; names keep their folders, spaces and all."""
    assert predict(run, tmp_path / "out") == 0
    found = contents(tmp_path / "out/masks")
    assert found.keys() == {str(Path(name).with_suffix(".png")) for name in IMAGES}
    for name in VAL:
        stem = str(Path(name).with_suffix(""))
        made = run.predictions / (stem.replace("/", "__").replace(" ", "_") + ".png")
        assert found[f"{stem}.png"] == made.read_bytes()
        assert len(np.unique(Image.open(made))) > 1
    assert (tmp_path / "out/classes.txt").read_text() == "cat\ndog\n"


ALL = ["--overlay", "--confidence", "--probabilities"]
KILL = """
import os, signal, sys
from pathlib import Path
from PIL import Image
from psa_core.delivery import cli, predict
save, saved = Image.Image.save, []
def save_half(image, path, *arguments):
    saved.append(path)
    if len(saved) == int(sys.argv[1]):
        Path(path).write_bytes(b"half a file")
        os.kill(os.getpid(), signal.SIGKILL)
    save(image, path, *arguments)
Image.Image.save = save_half
cli.main(sys.argv[2:])
"""


@pytest.mark.parametrize("at", [1, 11])
def test_a_killed_run_goes_on_to_the_same_files(run, tmp_path, at):
    """Killed while it writes the first overlay, and a confidence later on."""
    whole, killed, report = tmp_path / "whole", tmp_path / "killed", tmp_path / "report.json"
    assert predict(run, whole, *ALL, "--json", str(report)) == 0
    expected = report.read_bytes()
    report.unlink()
    arguments = ["predict", str(run.model), str(run.data / "images"), "--output", str(killed)]
    arguments += ["--threads", "2", "--device", "cpu", *ALL, "--json", str(report)]
    command = [sys.executable, "-c", KILL, str(at), *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = contents(killed)
    assert b"half a file" in left.values()
    assert not report.exists()
    finished = [name for name in left if name.startswith("masks/")]
    assert len(finished) == (0 if at == 1 else 3)
    assert main(arguments) == 0
    assert contents(killed) == contents(whole)
    assert report.read_bytes() == expected


def test_finished_images_are_not_predicted_again(run, tmp_path, caplog, monkeypatch):
    predict(run, tmp_path / "out")
    before = contents(tmp_path / "out")
    monkeypatch.setattr(segmentation, "probabilities", None)
    assert predict(run, tmp_path / "out") == 0
    assert contents(tmp_path / "out") == before


def test_a_newer_image_is_predicted_again(run, tmp_path):
    predict(run, tmp_path / "out")
    mask = tmp_path / "out/masks/v1.png"
    write_image(run.data / "images/v1.jpg", (50, 40), 77)
    assert predict(run, tmp_path / "out") == 0
    assert Image.open(mask).size == (50, 40)


def test_other_settings_need_another_folder(run, tmp_path, capsys):
    out = tmp_path / "out"
    predict(run, out)
    assert predict(run, out, "--scales", "1") == 2
    assert "made with other settings (scales [0.5, 1.0])" in capsys.readouterr().err
    before = contents(out)
    assert predict(run, out, "--scales", "1", "--overwrite") == 0
    assert contents(out).keys() == before.keys()
    expected = tmp_path / "expected"
    predict(run, expected, "--scales", "1")
    assert contents(out) == contents(expected)
    assert contents(out) != before


def test_masks_of_the_user_are_not_overwritten(run, tmp_path, capsys):
    (tmp_path / "data/masks").mkdir(parents=True)
    (tmp_path / "data/masks/v1.png").write_text("drawn in a week")
    for arguments in ([], ["--overwrite"]):
        assert predict(run, tmp_path / "data", *arguments) == 2
        assert "masks: not made by psa predict" in capsys.readouterr().err
    assert contents(tmp_path / "data") == {"masks/v1.png": b"drawn in a week"}


# --- what is made ---------------------------------------------------------------------------------


def test_probabilities_confidence_and_overlay_agree_with_the_mask(run, tmp_path):
    out = tmp_path / "out"
    predict(run, out, *ALL)
    for name in ("v2.png", "cats/v 3.jpg"):
        stem, image = Path(name).with_suffix(""), np.array(Image.open(run.data / "images" / name))
        mask = np.array(Image.open(out / f"masks/{stem}.png"))
        probabilities = np.load(out / f"probabilities/{stem}.npy")
        assert probabilities.dtype == np.float16
        assert probabilities.shape == (3, *image.shape[:2])
        values = probabilities.astype(np.float64)
        np.testing.assert_allclose(values.sum(0), 1, atol=3e-3)
        assert (np.take_along_axis(values, mask[None], 0)[0] >= values.max(0) - 1e-3).all()
        confidence = np.array(Image.open(out / f"confidence/{stem}.png"))
        assert confidence.dtype == np.uint8
        np.testing.assert_allclose(confidence / 255, values.max(0), atol=0.003)
        overlay = np.array(Image.open(out / f"overlays/{stem}.png"))
        np.testing.assert_array_equal(overlay[mask == 0], image[mask == 0])
        # By class 86, 180, 233 or 230, 159, 0: as it is along edges, else 45 per cent of it.
        colours = np.array([[86, 180, 233], [230, 159, 0]])[mask[mask > 0] - 1]
        tinted = 0.45 * colours + 0.55 * image[mask > 0]
        found = overlay[mask > 0]
        is_edge = (found == colours).all(-1)
        np.testing.assert_allclose(found[~is_edge], tinted[~is_edge], atol=0.51)
    assert (out / "legend.svg").exists()


def test_a_legend_names_the_colours_of_the_overlays(tmp_path):
    write_legend(tmp_path, ["cat", "<b> & dög"])
    svg = ElementTree.parse(tmp_path / "legend.svg")
    names = [each.text for each in svg.iter("{http://www.w3.org/2000/svg}text")]
    colours = [each.get("fill") for each in svg.iter("{http://www.w3.org/2000/svg}rect")]
    assert names == ["cat", "<b> & dög", "ignored"]
    assert colours == ["white", "rgb(86,180,233)", "rgb(230,159,0)", "rgb(150,150,150)"]


@pytest.mark.parametrize("earlier", [None, "<svg>cat is red</svg>"])
def test_overlays_in_other_colours_are_not_continued(run, tmp_path, capsys, earlier):
    out = tmp_path / "out"
    predict(run, out, "--overlay")
    (out / "legend.svg").unlink()
    if earlier:
        (out / "legend.svg").write_text(earlier)
    assert predict(run, out, "--overlay") == 2
    assert "overlays: drawn by an earlier version" in capsys.readouterr().err
    predict(run, out, "--overlay", "--overwrite")
    assert "rgb(86,180,233)" in (out / "legend.svg").read_text()


def test_the_report_lists_classes_and_connected_areas(run, tmp_path):
    out, report = tmp_path / "out", tmp_path / "report.json"
    predict(run, out, "--confidence", "--json", str(report))
    found = json.loads(report.read_text())
    assert found["network"] == "model.safetensors"
    assert found["classes"] == ["cat", "dog"]
    assert sorted(image["image"] for image in found["images"]) == sorted(IMAGES)
    for image in found["images"]:
        mask = np.array(Image.open(out / image["mask"]))
        confidence = np.array(Image.open(out / image["mask"].replace("masks", "confidence")))
        assert mask.shape == (image["height"], image["width"])
        assert [each["index"] for each in image["classes"]] == sorted({*mask.flat} - {0})
        for each in image["classes"]:
            is_class = mask == each["index"]
            assert each["pixels"] == is_class.sum()
            assert each["confidence"] == pytest.approx(confidence[is_class].mean() / 255, abs=1e-4)
            assert sum(part["pixels"] for part in each["parts"]) == is_class.sum()
            _, count = ndimage.label(is_class, np.ones((3, 3)))
            assert len(each["parts"]) == count
            covered = np.zeros_like(is_class)
            for part in each["parts"]:
                left, top, width, height = part["box"]
                inside = is_class[top : top + height, left : left + width]
                assert inside[0].any()
                assert inside[-1].any()
                assert inside[:, 0].any()
                assert inside[:, -1].any()
                covered[top : top + height, left : left + width] = True
            assert covered[is_class].all()


@pytest.mark.parametrize(
    ("images_of", "line"),
    [
        ({2: 1, 1: 3, 0: 2}, "cat in 3 images, dog in 1, nothing in 2"),
        ({2: 1}, "dog in 1 image"),
        ({0: 4}, "nothing in 4 images"),
    ],
)
def test_a_line_says_what_was_found(images_of, line):
    assert what_was_found(Counter(images_of), ["cat", "dog"]) == line


def test_the_line_counts_the_masks(run, tmp_path, capsys):
    assert predict(run, tmp_path / "out") == 0
    masks = [np.array(Image.open(path)) for path in (tmp_path / "out/masks").rglob("*.png")]
    seen = [sum((mask == index).any() for mask in masks) for index in (1, 2)]
    counts = {1: seen[0], 2: seen[1], 0: sum(not mask.any() for mask in masks)}
    assert f"found {what_was_found(counts, ['cat', 'dog'])}\n" in capsys.readouterr().err


def test_crf_is_the_dense_crf_of_the_averaged_probabilities(run, tmp_path):
    plain = ("--no-flip", "--scales", "1", "--longest-side", "0")
    predict(run, tmp_path / "out", "--crf", *plain, images=_only(run))
    network, image = read_network(run.model, CPU), read_image(run.data / "images/v2.png")
    torch.set_num_threads(1)
    averaged = segmentation.probabilities(network, [image], scales=[1.0], flip=False).numpy()
    kernels = {"gaussian": {"sxy": 3, "compat": 3}}
    kernels["bilateral"] = {"sxy": 50, "srgb": 5, "compat": 5}
    expected = dense_crf(image, averaged, iterations=10, **kernels)[0].argmax(0)
    mask = np.array(Image.open(tmp_path / "out/masks/v2.png"))
    assert (mask == expected).mean() > 0.999
    assert (mask != averaged[0].argmax(0)).any()


def _only(run: Run) -> list[str]:
    return [str(run.data / "images/v2.png")]


def test_batches_change_next_to_nothing(run, tmp_path):
    predict(run, tmp_path / "alone")
    predict(run, tmp_path / "batches", "--batch", "4")
    alone, batches = (contents(tmp_path / out / "masks") for out in ("alone", "batches"))
    assert alone.keys() == batches.keys()
    for name in alone:
        masks = [
            np.array(Image.open(tmp_path / f"{out}/masks/{name}")) for out in ("alone", "batches")
        ]
        assert (masks[0] == masks[1]).mean() > 0.999


# --- what is left out or refused ------------------------------------------------------------------


def test_bad_images_are_named_and_the_others_predicted(run, tmp_path, capsys):
    images = run.data / "images"
    whole = (images / "v1.jpg").read_bytes()
    (images / "v1.jpg").write_bytes(whole[: len(whole) // 2])
    Image.new("RGB", (20, 20)).save(images / "tiny.png")
    report = tmp_path / "report.json"
    assert predict(run, tmp_path / "out", "--json", str(report)) == 1
    printed = capsys.readouterr().err
    assert f"left out: {images}/v1.jpg: cannot be decoded" in printed
    assert "tiny.png: 20 x 20 pixels: each side needs at least 32; enlarge it" in printed
    made = {str(Path(name).with_suffix(".png")) for name in IMAGES} - {"v1.png"}
    assert contents(tmp_path / "out/masks").keys() == made
    assert len(json.loads(report.read_text())["images"]) == len(made)


def test_two_images_of_one_name_are_refused_before_any_work(run, tmp_path, capsys):
    images = [str(run.data / f"images/{name}") for name in ("v1.jpg", "cats/v1.jpg")]
    assert predict(run, tmp_path / "out", images=images) == 2
    assert "have the same name, v1: give the folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_networks_that_cannot_predict_are_refused(run, tmp_path, capsys):
    network = run._replace(model=run.model.parent / "segmentation/network.safetensors")
    assert predict(network, tmp_path / "out") == 2
    message = "choose the model of the run, results/model.safetensors, or give --scales and --flip"
    assert message in capsys.readouterr().err
    assert predict(network, tmp_path / "out", "--scales", "1", "--no-flip") == 0
    settings = {"backbone": "resnet18", "output_stride": 32, "frozen_stages": 0}
    settings |= {"channels": None, "dropout": 0.0}
    write_network(
        tmp_path / "cam.safetensors",
        build("cam", settings, 2, pretrained=False),
        *("cam", settings, ["cat", "dog"]),
    )
    cam = run._replace(model=tmp_path / "cam.safetensors")
    assert predict(cam, tmp_path / "other") == 2
    assert "a network of the stage cam" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tile", "100"], "--tile: 100 is below 256 pixels"),
        (["--scales", "1", "0"], "--scales: 0.0 is not above 0"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["--device", "cuda"], "device is 'cuda' but torch sees no GPU"),
    ],
)
def test_unusable_options_are_named(run, tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert predict(run, tmp_path / "out", *arguments) == 2
    assert message in capsys.readouterr().err


def test_an_image_of_the_same_name_in_another_folder_is_refused(run, tmp_path, capsys):
    """The mask that is there would pass as that of the other image."""
    for folder in ("a", "b"):
        write_image(tmp_path / folder / "IMG_1.png", (48, 40), ord(folder))
    assert predict(run, tmp_path / "out", images=[str(tmp_path / "a")]) == 0
    made = (tmp_path / "out/masks/IMG_1.png").read_bytes()
    assert predict(run, tmp_path / "out", images=[str(tmp_path / "b")]) == 2
    assert "IMG_1" in capsys.readouterr().err
    assert (tmp_path / "out/masks/IMG_1.png").read_bytes() == made
    assert predict(run, tmp_path / "out", "--overwrite", images=[str(tmp_path / "b")]) == 0


def test_a_longest_side_of_a_few_pixels_is_refused(run, tmp_path, capsys):
    assert predict(run, tmp_path / "out", "--longest-side", "-500") == 2
    assert "--longest-side: -500 is below 64 pixels" in capsys.readouterr().err
