"""Seeds for the three random generators that training draws from."""

import random

import numpy as np
import torch


def seed_everything(*numbers: int) -> None:
    """Seed Python's, numpy's and torch's generators from ``numbers``, e.g. a seed and an epoch.

    The numbers are hashed together by numpy's SeedSequence, so (1, 2) and (2, 1) differ. Seeding anew
    from (seed, epoch) at each epoch makes an epoch's randomness independent of how it was reached: a
    resumed run draws what the uninterrupted one would have drawn.

    Repeatability is bitwise on one CPU machine and thread count. No global torch flag is changed.
    """
    words = np.random.SeedSequence(numbers).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]))
