"""Embeddings of identities as two or more cameras would see them, with a noise of known shape."""

import numpy as np


def site(seed=0, ids=150, dims=24, cameras=2, strong=4, ratio=10.0, scale=1.0, offset=2.0):
    """Features (N, D) around ``offset``, cameras and identities.

    Noise has the deviation ``scale`` in the first ``strong`` directions and is ``ratio`` times weaker in the
    others; with a ratio of 1 there is no direction to learn.
    """
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(ids, dims)) * 0.5 + offset
    strength = np.where(np.arange(dims) < strong, scale, scale / ratio)
    views = [people + rng.normal(size=people.shape) * strength for _ in range(cameras)]
    features = np.concatenate(views).astype(np.float32)
    return features, np.repeat(np.arange(cameras), ids), np.tile(np.arange(ids), cameras)
