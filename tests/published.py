"""Names and shapes of the release's published weights, spelt out, and such weights at random."""

import math

import torch
from seeds import SEED


def norm(name, width):
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{kind}": (width,) for kind in kinds}


def block(name, wide_in, middle, wide_out):
    """Two 3x3 convolutions; a 1x1 branch1 where the width changes (as do all strides)."""
    shapes = {
        **norm(f"{name}.bn_branch2a", wide_in),
        f"{name}.conv_branch2a.weight": (middle, wide_in, 3, 3),
        **norm(f"{name}.bn_branch2b1", middle),
        f"{name}.conv_branch2b1.weight": (wide_out, middle, 3, 3),
    }
    if wide_in != wide_out:
        shapes[f"{name}.conv_branch1.weight"] = (wide_out, wide_in, 1, 1)
    return shapes


RESNET38 = {
    "conv1a.weight": (64, 3, 3, 3),
    **block("b2", 64, 128, 128),
    **block("b2_1", 128, 128, 128),
    **block("b2_2", 128, 128, 128),
    **block("b3", 128, 256, 256),
    **block("b3_1", 256, 256, 256),
    **block("b3_2", 256, 256, 256),
    **block("b4", 256, 512, 512),
    **block("b4_1", 512, 512, 512),
    **block("b4_2", 512, 512, 512),
    **block("b4_3", 512, 512, 512),
    **block("b4_4", 512, 512, 512),
    **block("b4_5", 512, 512, 512),
    **block("b5", 512, 512, 1024),
    **block("b5_1", 1024, 512, 1024),
    **block("b5_2", 1024, 512, 1024),
    **norm("b6.bn_branch2a", 1024),
    "b6.conv_branch2a.weight": (512, 1024, 1, 1),
    **norm("b6.bn_branch2b1", 512),
    "b6.conv_branch2b1.weight": (1024, 512, 3, 3),
    **norm("b6.bn_branch2b2", 1024),
    "b6.conv_branch2b2.weight": (2048, 1024, 1, 1),
    "b6.conv_branch1.weight": (2048, 1024, 1, 1),
    **norm("b7.bn_branch2a", 2048),
    "b7.conv_branch2a.weight": (1024, 2048, 1, 1),
    **norm("b7.bn_branch2b1", 1024),
    "b7.conv_branch2b1.weight": (2048, 1024, 3, 3),
    **norm("b7.bn_branch2b2", 2048),
    "b7.conv_branch2b2.weight": (4096, 2048, 1, 1),
    "b7.conv_branch1.weight": (4096, 2048, 1, 1),
    **norm("bn7", 4096),
}


def layer(name, wide_in, wide_out, side):
    return {f"{name}.weight": (wide_out, wide_in, side, side), f"{name}.bias": (wide_out,)}


VGG16 = {
    **layer("conv1_1", 3, 64, 3),
    **layer("conv1_2", 64, 64, 3),
    **layer("conv2_1", 64, 128, 3),
    **layer("conv2_2", 128, 128, 3),
    **layer("conv3_1", 128, 256, 3),
    **layer("conv3_2", 256, 256, 3),
    **layer("conv3_3", 256, 256, 3),
    **layer("conv4_1", 256, 512, 3),
    **layer("conv4_2", 512, 512, 3),
    **layer("conv4_3", 512, 512, 3),
    **layer("conv5_1", 512, 512, 3),
    **layer("conv5_2", 512, 512, 3),
    **layer("conv5_3", 512, 512, 3),
    **layer("fc6", 512, 1024, 3),
    **layer("fc7", 1024, 1024, 1),
}
RESNET38_CAM = {"fc8.weight": (20, 4096, 1, 1)}
RESNET38_AFFINITY = {
    "f8_3.weight": (64, 512, 1, 1),
    "f8_4.weight": (128, 1024, 1, 1),
    "f8_5.weight": (256, 4096, 1, 1),
    "f9.weight": (448, 448, 1, 1),
}
VGG16_CAM = {"fc8.weight": (20, 1024, 1, 1)}
VGG16_AFFINITY = {
    "f8_3.weight": (64, 512, 1, 1),
    "gn8_3.weight": (64,),
    "gn8_3.bias": (64,),
    "f8_4.weight": (128, 512, 1, 1),
    "gn8_4.weight": (128,),
    "gn8_4.bias": (128,),
    "f8_5.weight": (256, 1024, 1, 1),
    "gn8_5.weight": (256,),
    "gn8_5.bias": (256,),
    "f9.weight": (448, 448, 1, 1),
}


def random_state(shapes, seed=0):
    """Random values of such sizes that activations neither vanish nor explode."""
    generator = torch.Generator().manual_seed(seed + SEED)
    state = {}
    for name, shape in shapes.items():
        if len(shape) == 4:
            deviation = math.sqrt(1.5 / math.prod(shape[1:]))
            state[name] = deviation * torch.randn(shape, generator=generator)
        elif name.endswith(("running_var", "bn_branch2a.weight", "bn7.weight")):
            state[name] = 0.5 + torch.rand(shape, generator=generator)
        else:
            state[name] = 0.2 + 0.3 * torch.randn(shape, generator=generator)
    return state
