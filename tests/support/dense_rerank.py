"""k-reciprocal re-ranking as dense matrices and sets of images, written from the definition; slow."""

import numpy as np


def squared_distances(feats, metric):
    if metric == "cosine":
        feats = feats / np.linalg.norm(feats, axis=1, keepdims=True)
        return np.maximum(2 - 2 * feats @ feats.T, 0)
    lengths = (feats**2).sum(1)
    return np.maximum(lengths[:, None] + lengths - 2 * feats @ feats.T, 0)


def reciprocal(order, p, k):
    """The images among the k nearest of p that have p among their k nearest; p itself is one of them."""
    return {int(g) for g in order[p, : k + 1] if p in order[g, : k + 1]}


def expanded(order, p, k1):
    near = reciprocal(order, p, k1)
    result = set(near)
    for q in near:
        candidates = reciprocal(order, q, round(k1 / 2))
        if len(candidates & near) > 2 / 3 * len(candidates):
            result |= candidates
    return sorted(result)


def dense_rerank(query, gallery, k1=20, k2=6, lambda_value=0.3, metric="cosine", dtype=np.float64):
    """(Q, G) distances; holds several matrices (Q + G, Q + G)."""
    dist = squared_distances(np.concatenate([query, gallery]).astype(dtype), metric)
    dist /= np.maximum(dist.max(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    num_images, num_query = len(dist), len(query)
    own = np.diag(dist).copy()
    np.fill_diagonal(dist, -1)  # an image is its own nearest; other ties in order
    order = np.argsort(dist, axis=1, kind="stable")
    np.fill_diagonal(dist, own)
    codes = np.zeros_like(dist)
    for p in range(num_images):
        members = expanded(order, p, k1)
        weights = np.exp(-dist[p, members])
        codes[p, members] = weights / weights.sum()
    averaged = np.empty_like(codes)
    for p in range(num_images):
        averaged[p] = codes[order[p, :k2]].mean(axis=0)
    of_query, of_gallery = averaged[:num_query], averaged[num_query:]
    holders = [np.flatnonzero(column) for column in of_gallery.T]
    jaccard = np.empty((num_query, num_images - num_query), dtype)
    for i in range(num_query):
        smaller = np.zeros(num_images - num_query, dtype)
        for j in np.flatnonzero(of_query[i]):
            smaller[holders[j]] += np.minimum(of_query[i, j], of_gallery[holders[j], j])
        # Each code sums to 1, so the larger ones sum to 2 less the smaller ones.
        jaccard[i] = 1 - smaller / (2 - smaller)
    return (1 - lambda_value) * jaccard + lambda_value * dist[:num_query, num_query:]
