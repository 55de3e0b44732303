"""The families of backbones by name: what each can do, and how it is built.

A new family is one file with its `Backbone` class, and one entry here; for a network of timm,
`_timm` chooses the class. The configuration check reads the entries at each start of the workflow,
so torch and timm are imported only to build.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from psa_core.networks.backbone import Backbone

OUR_ARCHITECTURES = ("atrous", "largefov")  # others are those of segmentation-models-pytorch
LIBRARY_STRIDE = 32  # output stride of backbones in segmentation-models-pytorch


class Family(NamedTuple):
    """What the backbones of one family can do.

    create: builds one; takes the keyword arguments of `create_backbone`.
    output_strides: output strides that it can have, in pixels.
    fits_library: whether segmentation-models-pytorch can build its architectures on it.
    weights_remedy: what to do where its ImageNet weights cannot be downloaded; "" if they can.
    """

    create: Callable[..., Backbone]
    output_strides: tuple[int, ...] = (8, 16, 32)
    fits_library: bool = False
    weights_remedy: str = ""


def _resnet38(*, frozen_stages: int, **_: object) -> Backbone:
    from psa_core.networks.resnet38 import ResNet38

    return ResNet38(frozen_stages=frozen_stages)


def _vgg16(*, stage: str, frozen_stages: int, pretrained: bool, **_: object) -> Backbone:
    from psa_core.networks.vgg16 import VGG16

    return VGG16(stage=stage, frozen_stages=frozen_stages, pretrained=pretrained)


def _timm(
    *, name: str, output_stride: int, frozen_stages: int, pretrained: bool, **_: object
) -> Backbone:
    from psa_core.networks.timm_backbone import TimmBackbone
    from psa_core.networks.transformer import TransformerBackbone, is_transformer

    kind = TransformerBackbone if is_transformer(name) else TimmBackbone
    return kind(
        name, output_stride=output_stride, frozen_stages=frozen_stages, pretrained=pretrained
    )


FAMILIES = {
    "resnet38": Family(
        _resnet38,
        output_strides=(8,),
        weights_remedy=(
            "set it to the file ilsvrc-cls_rna-a1_cls1000_ep-0001.params of Wu et al., or to random"
        ),
    ),
    "vgg16": Family(_vgg16, output_strides=(8,)),
}
TIMM = Family(_timm, fits_library=True)


def family_of(name: str) -> Family:
    """The family of a backbone: an entry of `FAMILIES`, timm for any other name.

    timm has a network named `vgg16` too; ours takes precedence.
    """
    return FAMILIES.get(name, TIMM)


def create_backbone(
    name: str, stage: str, *, output_stride: int, frozen_stages: int, pretrained: bool
) -> Backbone:
    """A backbone by name for a stage ("cam", "affinity" or "segmentation").

    output_stride: stride of its deepest map in pixels, see `stride_conflicts`.
    frozen_stages: number of leading stages to freeze.
    pretrained: start from ImageNet weights.
    Raises UserError where timm does not know the name or cannot build the network so, or where its
    weights cannot be downloaded.
    """
    return family_of(name).create(
        name=name,
        stage=stage,
        output_stride=output_stride,
        frozen_stages=frozen_stages,
        pretrained=pretrained,
    )


def stride_conflicts(name: str, output_stride: int) -> Iterator[str]:
    """Why a backbone cannot have an output stride, as "key: value and remedy"; empty if it can."""
    strides = family_of(name).output_strides
    if output_stride not in strides:
        possible = " or ".join(map(str, strides))
        yield (
            f"output_stride: {output_stride}, but {name} has output stride {possible}; "
            f"set it to {possible}"
        )


def conflicts(settings: dict) -> Iterator[str]:
    """Settings that a backbone cannot have, each as "key: value and remedy".

    settings: section `network` of a stage's configuration.
    """
    name, output_stride = settings["backbone"], settings["output_stride"]
    family, architecture = family_of(name), settings.get("architecture", OUR_ARCHITECTURES[0])
    yield from stride_conflicts(name, output_stride)
    if settings["weights"] == "imagenet" and family.weights_remedy:
        yield (f"weights: ImageNet weights of {name} cannot be downloaded; {family.weights_remedy}")
    if architecture in OUR_ARCHITECTURES:
        return
    if output_stride != LIBRARY_STRIDE:
        yield (
            f"output_stride: {output_stride}, but {architecture} sets its own strides; "
            f"set it to {LIBRARY_STRIDE}"
        )
    if not family.fits_library:
        yield (
            f"architecture: {architecture!r} needs a backbone of timm, not {name}; set it to "
            + " or ".join(OUR_ARCHITECTURES)
        )
