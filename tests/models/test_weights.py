"""Loading tensors strictly: every key, every shape, and nothing that is no number."""

import re

import pytest
import torch
from torch import nn

from reid.models.weights import load_strictly, refuse_values
from reid.utils import InputError


def layers():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: s.pop("weight"), "weight is missing$"),
        (lambda s: s.update(extra=torch.ones(1)), "extra is unexpected$"),
        (lambda s: s.update(weight=torch.ones(2, 2)), r"weight must have shape \(2, 3\), got \(2, 2\)$"),
        (lambda s: s.clear(), r"weight is missing \(and 1 more\)$"),
    ],
    ids=["missing", "unexpected", "shape", "all"],
)
def test_strict_loading_names_the_first_fault_and_counts_the_others(change, match):
    layer = nn.Linear(3, 2)
    state = dict(nn.Linear(3, 2).state_dict())
    change(state)
    with pytest.raises(InputError, match=match):
        load_strictly(layer, state, "x.pth")


NO_WEIGHTS = {
    "none": (lambda v: None, "must be a tensor, got NoneType"),
    "number": (lambda v: 1.0, "must be a tensor, got float"),
    "nan": (lambda v: v.index_fill(0, torch.tensor([1]), torch.nan), "must be finite in torch.float32"),
    "overflow": (lambda v: v.double() + 1e300, "must be finite in torch.float32, 4 of 4 numbers are not"),
    "whole": (lambda v: v.int(), "must hold floating-point numbers, got torch.int32"),
    "complex": (lambda v: v + 1j, "must hold floating-point numbers, got torch.complex64"),
    "sparse": (lambda v: v.to_sparse(), "must be a dense tensor, got torch.sparse_coo"),
    "meta": (lambda v: v.to("meta"), "must be a dense tensor, got one without values"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, on sparse tensors
@pytest.mark.parametrize("fault", NO_WEIGHTS)
def test_values_that_are_no_weights_are_refused_by_the_first_key_and_nothing_is_changed(fault):
    change, match = NO_WEIGHTS[fault]
    model = layers()
    state = dict(model.state_dict())
    before = {name: value.clone() for name, value in state.items()}
    faulty = {key: change(state[key]) for key in ("0.bias", "1.weight")}
    with pytest.raises(InputError, match=re.escape(f"0.bias {match}") + r".* \(and 1 more\)$"):
        load_strictly(model, state | faulty, "x.pth")
    with pytest.raises(InputError, match=re.escape(f"x.pth does not fit the model: 0.bias {match}")):
        refuse_values("x.pth", faulty, state)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_values_of_another_shape_are_numbers_all_the_same():
    refuse_values("x.pth", {"0.bias": torch.ones(7, 2)}, layers().state_dict())


def test_a_negative_variance_is_refused_and_a_variance_of_nothing_is_not():
    model = layers()
    state = model.state_dict() | {"1.running_var": torch.tensor([1.0, -0.1, 0.0, -3.0])}
    message = "1.running_var must be at least 0, 2 of 4 numbers are negative"
    with pytest.raises(InputError, match=message):
        load_strictly(model, state, "x.pth")
    with pytest.raises(InputError, match=message):
        refuse_values("x.pth", {"1.running_var": state["1.running_var"]}, model.state_dict())
    load_strictly(model, state | {"1.running_var": torch.zeros(4)}, "x.pth")


@pytest.mark.parametrize("count", [torch.tensor(3.0), torch.tensor(True)])
def test_a_counter_must_be_whole(count):
    norm = nn.BatchNorm1d(2)
    with pytest.raises(InputError, match=f"num_batches_tracked must hold whole numbers, got {count.dtype}"):
        load_strictly(norm, norm.state_dict() | {"num_batches_tracked": count}, "x.pth")


def test_half_precision_is_taken_over():
    layer = nn.Linear(3, 2)
    state = {key: value.half() for key, value in nn.Linear(3, 2).state_dict().items()}
    load_strictly(layer, state, "x.pth")
    assert torch.equal(layer.weight, state["weight"].float())
