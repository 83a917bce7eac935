"""Seeds for the random generators that training draws from: the three global ones, and one of its own."""

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


def seeded_generator(device: torch.device, *numbers: int) -> torch.Generator:
    """A generator on ``device`` whose draws are a function of ``numbers``, and not those of the global ones.

    The same numbers give another seed than in :func:`seed_everything`: it is of a child of their sequence.
    """
    (word,) = np.random.SeedSequence(numbers, spawn_key=(0,)).generate_state(1)
    return torch.Generator(device).manual_seed(int(word))
