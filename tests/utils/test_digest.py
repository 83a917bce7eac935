import torch

from reid.utils import digest


def test_the_same_bits_have_the_same_name_and_others_another():
    a, b = torch.arange(6.0).reshape(2, 3), torch.tensor(5)
    name = digest([a, b])
    assert len(name) == 16
    assert digest(iter([a.clone(), b])) == name
    assert digest([a.T.contiguous().T, b]) == name  # the layout in memory is no content
    assert digest([a + 1e-6, b]) != name
    assert digest([torch.zeros(0, 4), torch.tensor(True), torch.ones(2, dtype=torch.bfloat16)])
