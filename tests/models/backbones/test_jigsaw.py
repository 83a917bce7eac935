import pytest
import torch

from reid.models import JigsawSpec, ModelSpec, create_backbone
from reid.models.backbones.jigsaw import shuffle_patches
from reid.utils import InputError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def order(count, **options):
    """Where each patch comes from; token 0 is the class token."""
    tokens = torch.arange(1.0 + count).reshape(1, -1, 1)
    return shuffle_patches(tokens, count, JigsawSpec(**options)).flatten().int().tolist()


def test_patches_are_shifted_and_dealt_to_two_halves():
    """8 patches shifted by 3: 3..8, 1, 2; halves [3 4 5 6] and [7 8 1 2], interleaved."""
    assert order(8, shift=3) == [3, 7, 4, 8, 5, 1, 6, 2]


def test_a_count_that_does_not_divide_repeats_the_last_patch_but_one():
    """7 patches shifted by 2: 2..7, 1, and 7 again."""
    assert order(7, shift=2) == [2, 6, 3, 7, 4, 1, 5, 7]


def test_three_groups_repeat_as_often_as_needed():
    shuffled = order(7, shift=1, num_groups=3)
    assert len(shuffled) == 9
    assert set(shuffled) == set(range(1, 8))


def make(**options):
    torch.manual_seed(0)
    spec = ModelSpec("vit_micro", (32, 32), 0, jigsaw=JigsawSpec(**options))
    return create_backbone(spec).eval()


@torch.no_grad()
def test_each_part_is_its_patches_through_the_local_branch_alone():
    model = make(rearrange=False)
    whole, *parts = model(IMAGES)
    tokens = model.blocks(model.embed_tokens(IMAGES, None, None))
    torch.testing.assert_close(whole, model.global_branch(tokens)[:, 0])
    for k, part in enumerate(parts):
        rows = torch.cat([tokens[:, :1], tokens[:, 1 + 4 * k : 5 + 4 * k]], dim=1)
        torch.testing.assert_close(part, model.local_branch(rows)[:, 0])


def test_both_branches_begin_as_copies_of_the_last_block():
    state = make().state_dict()
    branches = [
        {key.partition(".")[2]: value for key, value in state.items() if key.startswith(f"{name}_branch.")}
        for name in ("global", "local")
    ]
    assert branches[0].keys() == branches[1].keys()
    assert all(torch.equal(value, branches[1][key]) for key, value in branches[0].items())
    assert not any(key.startswith(("blocks.3.", "norm.")) for key in state)


def test_the_retrieval_feature_weighs_a_part_by_its_share():
    branches = make(num_parts=2).branches
    assert [branch.scale for branch in branches] == [1, 0.5, 0.5]
    assert [branch.id_weight for branch in branches] == [0.5, 0.25, 0.25]


@pytest.mark.parametrize("options", [{"num_parts": 17}, {"shift": 17}, {"num_groups": 16}])
def test_more_parts_than_patches_are_refused(options):
    with pytest.raises(InputError, match=r"need at least as many patches .* got 16; use"):
        make(**options)


@pytest.mark.parametrize("name", ["num_parts", "shift", "num_groups"])
def test_counts_outside_their_range_are_refused(name):
    with pytest.raises(InputError, match=rf"{name} must be in 1\.\.64, got 0"):
        JigsawSpec(**{name: 0})
