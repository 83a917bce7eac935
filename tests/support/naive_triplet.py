"""The batch-hard triplet loss as plain loops over Python floats: slow, and plainly right."""

import math


def naive_distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))


def naive_triplet(feats, labels, margin=None):
    """The mean over the anchors with a positive and a negative; 0 where there is none."""
    losses = []
    for i, anchor in enumerate(feats):
        positives = [
            naive_distance(anchor, feats[j]) for j in range(len(feats)) if j != i and labels[j] == labels[i]
        ]
        negatives = [naive_distance(anchor, feats[j]) for j in range(len(feats)) if labels[j] != labels[i]]
        if not positives or not negatives:
            continue
        gap = max(positives) - min(negatives)
        losses.append(math.log1p(math.exp(gap)) if margin is None else max(0.0, gap + margin))
    return sum(losses) / len(losses) if losses else 0.0
