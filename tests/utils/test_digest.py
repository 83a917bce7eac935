import torch

from reid.utils import digest, digest_of_file


def test_the_same_bits_have_the_same_name_and_others_another():
    a, b = torch.arange(6.0).reshape(2, 3), torch.tensor(5)
    name = digest([a, b])
    assert len(name) == 16
    assert digest(iter([a.clone(), b])) == name
    assert digest([a.T.contiguous().T, b]) == name  # the layout in memory is no content
    assert digest([a + 1e-6, b]) != name
    assert digest([torch.zeros(0, 4), torch.tensor(True), torch.ones(2, dtype=torch.bfloat16)])


def test_the_content_of_a_file_is_read_again_when_it_changes(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"abc")
    # The SHA-256 of "abc" as FIPS 180-2 has it.
    assert digest_of_file(tmp_path / "a") == digest_of_file(tmp_path / "b") == "ba7816bf8f01cfea"
    (tmp_path / "a").write_bytes(b"abcd")
    assert digest_of_file(tmp_path / "a") != "ba7816bf8f01cfea"
