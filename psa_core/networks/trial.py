"""A trial pass of all networks of a run, before hours of training go into the first of them."""

from __future__ import annotations

import torch

from psa_core.errors import UserError
from psa_core.networks.builder import build
from psa_core.runtime.stages import trained_stages

CLASSES = 2  # their number changes nothing that can fail
OTHER_SIZE = (96, 160)  # height and width, unlike those of any crop


def check_networks(config: dict, *, images: int) -> None:
    """Try each network on a batch as in its training, and on an image of another size.

    config: the complete configuration. images: number of training images, which bounds the batch.
    Tensors are on the device "meta", without values, so this takes no memory and little time.
    Raises UserError for all networks together that cannot be built or cannot take such images.
    """
    problems = []
    for each in trained_stages(config):
        network, training = config[each]["network"], config[each]["training"]
        batch_size = max(1, min(training["batch_size"], images) // config["devices"])
        batch = (batch_size, 3, training["crop_size"], training["crop_size"])
        try:
            _try(each, network, batch)
        except UserError as error:
            problems.append(f"{each}.network: {error}")
        except NotImplementedError:  # an operation that "meta" lacks tells nothing
            continue
        except Exception as error:  # networks of libraries raise all types
            problems.append(
                f"{each}.network.backbone: {network['backbone']} cannot take {batch_size} images "
                f"of {batch[2]} x {batch[3]} pixels, and then one of other sides ({error}); change "
                f"{each}.training.crop_size or batch_size, or the backbone"
            )
    if problems:
        raise UserError("; ".join(problems))


def _try(stage: str, settings: dict, batch: tuple[int, ...]) -> None:
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        network = build(stage, settings, CLASSES, pretrained=False)
        network.train()(torch.rand(batch))
        network.eval()(torch.rand(1, 3, *OTHER_SIZE))
