"""Vision transformers of timm as backbones: tokens as maps, against loops over the tokens."""

import pytest
import timm
import torch
import torch.nn.functional as F

from psa_core.errors import UserError
from psa_core.networks.builder import build
from psa_core.networks.registry import create_backbone
from psa_core.networks.transformer import TransformerBackbone
from psa_core.training import optimizer

TINY = "test_vit2"  # of timm, for tests: 8 blocks of width 64, patches of 16 pixels, a register


def backbone(name=TINY, *, output_stride=16, **options):
    built = TransformerBackbone(name, output_stride=output_stride, pretrained=False, **options)
    return built.eval()


def without_values(name, output_stride, size):
    """A backbone by its name in the configuration, and its features of two images of a size."""
    with torch.device("meta"):
        network = create_backbone(
            name, "cam", output_stride=output_stride, frozen_stages=0, pretrained=False
        ).eval()
        return network, network(torch.rand(2, 3, *size))


def seen_by(network, images):
    """The images that the embedding of patches gets."""
    seen = []
    handle = network.network.patch_embed.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    features = network(images)
    handle.remove()
    return seen[0], features


@torch.no_grad()
def test_final_map_has_the_token_of_each_patch_after_the_register():
    network, images = backbone(), torch.rand(2, 3, 48, 80)
    tokens = network.network.forward_features((images - 0.5) / 0.5)
    final = network(images).final
    assert tokens.shape == (2, 1 + 3 * 5, 64)
    assert final.shape == (2, 64, 3, 5)
    for y in range(3):
        for x in range(5):
            torch.testing.assert_close(final[:, :, y, x], tokens[:, 1 + 5 * y + x])


@torch.no_grad()
def test_levels_are_the_tokens_after_half_three_quarters_and_all_blocks():
    network, images, outputs = backbone(), torch.rand(1, 3, 48, 80), []
    for block in network.network.blocks:
        block.register_forward_hook(lambda *given: outputs.append(given[-1]))
    levels = network(images).levels
    maps = [outputs[i][:, 1:].reshape(1, 3, 5, 64).permute(0, 3, 1, 2) for i in (3, 5, 7)]
    finest = F.interpolate(maps[0], scale_factor=2, mode="bilinear")
    for found, expected in zip(levels, [finest, *maps[1:]], strict=True):
        torch.testing.assert_close(found, expected)
    assert network.level_strides == [8, 16, 16]


@torch.no_grad()
def test_another_stride_is_another_size_of_the_image():
    fine, images = backbone(output_stride=8), torch.rand(1, 3, 48, 80)
    coarse = backbone()
    coarse.load_state_dict(fine.state_dict())
    enlarged = F.interpolate(images, (96, 160), mode="bilinear", antialias=True)
    seen, features = seen_by(fine, images)
    torch.testing.assert_close(seen, (enlarged - 0.5) / 0.5)
    torch.testing.assert_close(features.final, coarse(enlarged).final)
    assert [tuple(level.shape[2:]) for level in features.levels] == [(6, 10)] * 3


@torch.no_grad()
def test_patches_of_14_pixels_have_the_same_stride():
    """DINOv2 sees an image of 48 x 80 pixels at 42 x 70, so that 3 x 5 patches cover it."""
    network = backbone("vit_small_patch14_reg4_dinov2")
    seen, features = seen_by(network, torch.rand(1, 3, 48, 80))
    assert seen.shape == (1, 3, 42, 70)
    assert features.final.shape == (1, 384, 3, 5)


@torch.no_grad()
def test_images_of_its_own_size_are_seen_as_by_a_network_that_takes_no_other():
    network, images = backbone(), torch.rand(1, 3, 160, 160)
    rigid = timm.create_model(TINY, num_classes=0, global_pool="", dynamic_img_size=False).eval()
    rigid.load_state_dict(network.network.state_dict())
    tokens = rigid.forward_features((images - 0.5) / 0.5)[:, 1:]
    torch.testing.assert_close(network(images).final.flatten(2).transpose(1, 2), tokens)
    with pytest.raises(AssertionError, match="doesn't match"):
        rigid(torch.rand(1, 3, 48, 80))


@pytest.mark.parametrize(
    "name",
    ["vit_small_patch16_dinov3", "vit_base_patch16_clip_224", "deit_tiny_patch16_224"],
)
@torch.no_grad()
def test_families_of_transformers(name):
    network, features = without_values(name, 16, (64, 96))
    width = network.final_channels
    assert isinstance(network, TransformerBackbone)
    assert features.final.shape == (2, width, 4, 6)
    assert [tuple(level.shape[2:]) for level in features.levels] == [(8, 12), (4, 6), (4, 6)]


@pytest.mark.parametrize(
    "name", ["swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "mambaout_femto"]
)
@torch.no_grad()
def test_hierarchical_networks_take_images_of_any_size(name):
    network, features = without_values(name, 32, (96, 160))
    assert network.level_strides == [8, 16, 32]
    assert [tuple(level.shape) for level in features.levels] == [
        (2, channels, 96 // stride, 160 // stride)
        for channels, stride in zip(network.level_channels, (8, 16, 32), strict=True)
    ]
    assert features.final.shape == (2, network.final_channels, 3, 5)


@torch.no_grad()
def test_channels_last_networks_end_in_the_map_that_their_classifier_pools():
    network = create_backbone(
        "mambaout_femto", "cam", output_stride=32, frozen_stages=0, pretrained=False
    ).eval()
    images = torch.rand(1, 3, 64, 96)
    expected = network.network.forward_features((images - network.mean) / network.std)
    torch.testing.assert_close(network(images).final, expected.permute(0, 3, 1, 2))


def test_positions_and_tokens_do_not_decay():
    network = build(
        "cam", {"backbone": TINY, "output_stride": 16, "frozen_stages": 0}, 3, pretrained=False
    )
    options = {"learning_rate": 1, "new_layer_factor": 1, "bias_factor": 1, "weight_decay": 0.1}
    decays = {
        id(parameter): group["weight_decay"]
        for group in optimizer.parameter_groups(network, **options)
        for parameter in group["params"]
    }
    inner = network.backbone.network
    assert [decays[id(p)] for p in (inner.pos_embed, inner.reg_token)] == [0, 0]
    assert decays[id(inner.blocks[0].attn.qkv.weight)] == 0.1
    assert decays[id(inner.patch_embed.proj.weight)] == 0.1


def test_the_norm_before_the_blocks_is_frozen_as_well():
    with torch.device("meta"):
        network = backbone("vit_base_patch16_clip_224", frozen_stages=1)
    learning = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {"blocks", "norm"}


@pytest.mark.parametrize("name", [TINY, "swin_tiny_patch4_window7_224"])
def test_architectures_of_the_library_are_refused(name):
    settings = {"backbone": name, "output_stride": 32, "frozen_stages": 0, "architecture": "unet"}
    with torch.device("meta"), pytest.raises(UserError, match=f"'unet' cannot .* {name}; set it"):
        build("segmentation", settings, 3, pretrained=False)


def test_a_network_that_timm_cannot_build_so_is_refused():
    with pytest.raises(UserError, match=r"distilled.*' cannot be a backbone \(The distilled head"):
        backbone("deit_tiny_distilled_patch16_224")


def test_frozen_stages_are_the_embedding_and_the_first_blocks():
    network = backbone(frozen_stages=3)
    learning = {name.split(".")[1] for name, p in network.named_parameters() if p.requires_grad}
    assert learning == {"blocks", "norm"}
    blocks = [any(p.requires_grad for p in block.parameters()) for block in network.network.blocks]
    assert blocks == [False] * 2 + [True] * 6
    assert all(p.requires_grad for p in backbone().parameters())


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        ("cam", {}),
        ("affinity", {"channels": [8, 8, 16], "group_norm": True}),
        (
            "segmentation",
            {"architecture": "atrous", "level_channels": None, "channels": 8, "dilation": 2},
        ),
    ],
)
def test_each_network_learns_on_a_transformer(stage, settings):
    settings = {"backbone": TINY, "output_stride": 16, "frozen_stages": 0, **settings}
    network = build(stage, settings, 3, pretrained=False)
    outputs = network(torch.rand(2, 3, 64, 96))
    outputs.square().mean().backward()
    assert outputs.shape[2:] == {"cam": (), "affinity": (8, 12), "segmentation": (4, 6)}[stage]
    assert network.backbone.network.patch_embed.proj.weight.grad.abs().sum() > 0
