"""Retrieval metrics and search as plain loops, written from the definitions; slow, float64, no torch."""

import math


def similarity(a, b, metric):
    """Cosine, or minus the squared Euclidean distance."""
    if metric == "euclidean":
        return -sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths


def naive_search(query, gallery, k, metric="cosine"):
    """For each query the k best gallery indices; sorted() is stable, so ties keep gallery order."""
    lists = []
    for feat in query:
        scores = [similarity(feat, other, metric) for other in gallery]
        lists.append(sorted(range(len(gallery)), key=lambda j, scores=scores: -scores[j])[:k])
    return lists


def naive_ranked_lists(
    query, gallery, query_pids, gallery_pids, query_camids, gallery_camids, metric="cosine"
):
    """For each query all gallery indices that count, best first."""
    orders = naive_search(query, gallery, len(gallery), metric)
    return keep_counted(orders, query_pids, gallery_pids, query_camids, gallery_camids)


def keep_counted(orders, query_pids, gallery_pids, query_camids, gallery_camids):
    """Of gallery indices in order, for each query those that count."""
    lists = []
    for i, order in enumerate(orders):
        counted = []
        for j in order:
            if gallery_pids[j] == -1:
                continue
            same_camera = query_camids[i] != -1 and gallery_camids[j] == query_camids[i]
            if gallery_pids[j] == query_pids[i] and same_camera:
                continue
            counted.append(j)
        lists.append(counted)
    return lists


def naive_retrieval(
    query, gallery, query_pids, gallery_pids, query_camids, gallery_camids, metric="cosine", max_rank=50
):
    """mAP, mINP, CMC and each query's AP (None where it has no true match)."""
    lists = naive_ranked_lists(query, gallery, query_pids, gallery_pids, query_camids, gallery_camids, metric)
    return score_lists(lists, query_pids, gallery_pids, max_rank)


def score_lists(lists, query_pids, gallery_pids, max_rank=50):
    """The same for ranked lists of gallery indices that count."""
    aps, inps, firsts = [], [], []
    for pid, ranked in zip(query_pids, lists, strict=True):
        precisions = []
        found = last = 0
        for rank, j in enumerate(ranked, start=1):
            if gallery_pids[j] == pid:
                found += 1
                precisions.append(found / rank)
                last = rank
                if found == 1:
                    firsts.append(rank)
        if found == 0:
            aps.append(None)
            continue
        aps.append(sum(precisions) / found)
        inps.append(found / last)
    evaluated = [ap for ap in aps if ap is not None]
    return {
        "mean_ap": sum(evaluated) / len(evaluated),
        "mean_inp": sum(inps) / len(inps),
        "cmc": [sum(first <= k for first in firsts) / len(firsts) for k in range(1, max_rank + 1)],
        "average_precision": aps,
        "num_evaluated": len(evaluated),
    }
