"""faiss on GPUs, by stand-ins on the CPU; what needs a GPU is marked so."""

import logging

import pytest
import torch

from reid.evaluation import evaluate_retrieval, search
from reid.evaluation.faiss_flat import FlatIndex

faiss = pytest.importorskip("faiss")
QUERY = torch.randn(40, 8, generator=torch.Generator().manual_seed(0))
GALLERY = torch.randn(900, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def gpus(monkeypatch):
    """Three GPUs that are shares of the gallery on the CPU; the numbers of those that were asked for."""
    asked, shares = [], []

    def clone(empty, co, gpus):
        assert co.shard
        assert empty.ntotal == 0
        asked.append(list(gpus))
        if len(gpus) == 1:
            return faiss.IndexFlat(empty.d, empty.metric_type)
        shards = faiss.IndexShards(empty.d, True, True)
        for _ in gpus:
            shares.append(faiss.IndexFlat(empty.d, empty.metric_type))
            shards.add_shard(shares[-1])
        return shards

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 3)
    monkeypatch.setattr(faiss, "index_cpu_to_gpus_list", clone)
    return asked


def same_lists(device, gallery=GALLERY, **options):
    found, expected = (search(QUERY, gallery, 10, device=on, **options) for on in (device, "cpu"))
    assert torch.equal(found[1], expected[1])
    torch.testing.assert_close(found[0], expected[0])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize(("device", "numbers"), [("cuda", [0, 1, 2]), ("cuda:1", [1])])
def test_all_gpus_share_the_gallery_unless_one_is_named(gpus, metric, device, numbers, caplog):
    same_lists(device, metric=metric)
    assert gpus == [numbers]
    assert not caplog.records


@pytest.mark.parametrize("gallery", [GALLERY[torch.arange(900) % 7], GALLERY[:12], GALLERY[:2]])
def test_shares_with_ties_and_shares_shorter_than_the_lists_give_the_same(gpus, gallery, caplog):
    same_lists("cuda", gallery)
    assert not caplog.records


def test_metrics_are_those_of_the_cpu(gpus, caplog):
    random = torch.Generator().manual_seed(2)
    pids, gallery_pids = (torch.randint(0, 30, (n,), generator=random) for n in (40, 900))
    columns = QUERY, GALLERY, pids, gallery_pids, torch.zeros(40).long(), torch.ones(900).long()
    on_gpus = evaluate_retrieval(*columns, backend="faiss", device="cuda")
    assert gpus == [[0, 1, 2]]
    assert on_gpus.mean_ap == pytest.approx(evaluate_retrieval(*columns).mean_ap, abs=1e-12)
    assert not caplog.records


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (RuntimeError("CUDA error 35:\n driver too old"), "CUDA error 35: driver too old"),
        (AttributeError("module 'faiss' has no attribute 'GpuMultipleClonerOptions'"), "no attribute"),
        (MemoryError(), "MemoryError"),
    ],
)
@pytest.mark.parametrize("while_it", ["is loaded", "searches"])
def test_a_failing_gpu_is_warned_of_once_and_the_cpu_takes_over(
    gpus, monkeypatch, caplog, fault, words, while_it
):
    class Broken:
        def add(self, gallery):
            if while_it == "is loaded":
                raise fault

        def search(self, rows, k):
            raise fault

    monkeypatch.setattr(faiss, "index_cpu_to_gpus_list", lambda empty, co, gpus: Broken())
    index = FlatIndex(GALLERY, "euclidean", "cuda")
    for _ in range(2):
        found = index.nearest(QUERY, 5)
        assert torch.equal(found[1], FlatIndex(GALLERY, "euclidean", "cpu").nearest(QUERY, 5)[1])
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("faiss failed on cuda (")
    assert words in message
    assert message.endswith("); searching on the CPU")


def test_a_faiss_without_gpu_functions_is_warned_of(monkeypatch, caplog):
    monkeypatch.delattr(faiss, "get_num_gpus")
    same_lists("cuda")
    assert "has no attribute 'get_num_gpus'" in caplog.text


def test_a_gpu_that_is_not_there_is_warned_of(gpus, caplog):
    same_lists("cuda:3")
    message = "faiss failed on cuda:3 (faiss sees 3 GPUs, numbered from 0); searching on the CPU"
    assert [record.getMessage() for record in caplog.records] == [message]
    assert gpus == []


def test_no_gpu_at_all_is_a_line_of_the_log_and_no_warning(monkeypatch, caplog):
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    with caplog.at_level(logging.INFO, logger="reid"):
        same_lists("cuda")
    assert [record.getMessage() for record in caplog.records] == ["faiss sees no GPU; searching on the CPU"]
    assert caplog.records[0].levelno == logging.INFO


@pytest.mark.gpu
@pytest.mark.skipif(
    not hasattr(faiss, "get_num_gpus") or faiss.get_num_gpus() == 0, reason="faiss sees no GPU"
)
@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_real_gpus_find_the_same(device, caplog):
    same_lists(device)
    assert not caplog.records
