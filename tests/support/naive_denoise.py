"""Slow plain-loop versions of the method's equations, in Python floats, straight from the definitions."""

import math


def beta(t, timesteps, start, end):
    return start + (end - start) * (t - 1) / (timesteps - 1)


def alpha_bar(t, timesteps, start, end):
    product = 1.0
    for s in range(1, t + 1):
        product *= 1.0 - beta(s, timesteps, start, end)
    return product


def reverse_step(x, w_d, b_d, t, timesteps, start, end):
    """X' = (X - beta_t / sqrt(1 - abar_t) (W_D X + b_D)) / sqrt(a_t) for one vector, as lists."""
    b = beta(t, timesteps, start, end)
    factor = b / math.sqrt(1.0 - alpha_bar(t, timesteps, start, end))
    result = []
    for i in range(len(x)):
        noise = b_d[i]
        for j in range(len(x)):
            noise += w_d[i][j] * x[j]
        result.append((x[i] - factor * noise) / math.sqrt(1.0 - b))
    return result


def linear(x, w, b):
    return [b[o] + sum(w[o][i] * x[i] for i in range(len(x))) for o in range(len(w))]
