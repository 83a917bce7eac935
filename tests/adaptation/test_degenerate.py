"""Images that a site may well have: a right answer, or one line that says what to do; never NaN."""

import numpy as np
import pytest
from sites import site

from reid.adaptation import NoiseSettings, fit_noise
from reid.utils import InputError

pytest.importorskip("faiss")
FEATURES, CAMIDS, PIDS = site(ids=60)  # 120 images, 24 numbers each
FIRST = CAMIDS == 0


def with_row(value, row=3):
    return np.where(np.arange(len(FEATURES))[:, None] == row, value, FEATURES).astype(np.float32)


CASES = {
    "one camera": (FEATURES, CAMIDS * 0),
    "fewer images than dimensions": (FEATURES[::20], CAMIDS[::20]),
    "copies of one image": (np.ones_like(FEATURES), CAMIDS),
    "each image in both cameras": (np.tile(FEATURES[:60], (2, 1)), CAMIDS),
    "a dozen copies of each image": (np.repeat(FEATURES[:10], 12, axis=0), np.arange(120) % 3),
    "one camera's images are copies": (np.where(FIRST[:, None], FEATURES[0], FEATURES), CAMIDS),
    "each camera's images are copies": (np.where(FIRST[:, None], FEATURES[0], FEATURES[1]), CAMIDS),
    "two images": (FEATURES[[0, 60]], CAMIDS[[0, 60]]),
    "two images of one camera": (FEATURES[:2], CAMIDS[:2]),
    "one image": (FEATURES[:1], CAMIDS[:1]),
    "no image": (FEATURES[:0], CAMIDS[:0]),
    "huge camera numbers": (FEATURES, np.where(FIRST, 2**40, 2**62)),
    "unknown cameras": (FEATURES, np.where(FIRST, -5, 3)),
    "a camera for each image": (FEATURES[::3], np.arange(40)),
    "one image of another camera": (FEATURES, (np.arange(120) == 5).astype(np.int64)),
    "not a number": (with_row(np.nan), CAMIDS),
    "infinite": (with_row(np.inf), CAMIDS),
    "zero": (with_row(0), CAMIDS),
    "one dimension": (FEATURES[:, :1], CAMIDS),
    "one dimension of either sign": (FEATURES[:, :1] - 2, CAMIDS),
    "tiny": (FEATURES * np.float32(1e-30), CAMIDS),
    "large": (FEATURES * np.float32(1e30), CAMIDS),
}
SETTINGS = {
    "auto": NoiseSettings(),
    "on": NoiseSettings(noise="on"),
    "more neighbours than images": NoiseSettings(noise="on", means="camera", k=100),
    "tracklets": NoiseSettings(pairs="tracklets"),
    "neighbours": NoiseSettings(pairs="neighbours"),
}
REFUSED = {
    "one camera": "at least two cameras, got 1; give the cameras",
    "two images of one camera": "at least two cameras, got 1",
    "one image": "at least two cameras, got 1",
    "no image": r"must be \(N, D\), N and D at least 1",
    "unknown cameras": "at least two cameras, got 1",
    "copies of one image": "identical images: there is no noise to learn; give different images",
    "not a number": "row 3 is not",
    "infinite": "row 3 is not",
    "zero": "row 3 is not",
}
ANSWERED = {
    "fewer images than dimensions",
    "each image in both cameras",
    "one camera's images are copies",
    "two images",
    "huge camera numbers",
    "a camera for each image",
    "one image of another camera",
    "tiny",
    "large",
}


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_finite_and_a_refusal_is_one_line(case, name, affine):
    (features, camids), settings = CASES[case], SETTINGS[name]
    try:
        choice = fit_noise(features, camids, PIDS[: len(features)], settings, affine=affine)
    except InputError as error:
        refusal = str(error)
    else:
        refusal = None
    if refusal:
        assert "\n" not in refusal
        assert ";" in refusal  # behind it, what to do
        assert case not in ANSWERED or settings.pairs == "tracklets"
        return
    assert case not in REFUSED or (settings.pairs != "cameras" and case not in ("zero", "infinite"))
    if choice.denoiser is None:
        assert choice.candidates or "too few pairs" in choice.reason
        return
    weight = choice.denoiser.weight
    np.testing.assert_array_equal(weight, weight.T)
    assert np.isfinite(weight).all()
    assert np.linalg.eigvalsh(weight).min() > 0
    denoised = choice.denoiser.apply(features, camids)
    lengths = np.linalg.norm(denoised.astype(np.float64), axis=1)
    assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()


@pytest.mark.parametrize("case", REFUSED)
def test_the_refusal_says_why(case):
    features, camids = CASES[case]
    with pytest.raises(InputError, match=REFUSED[case]):
        fit_noise(features, camids, PIDS[: len(features)], NoiseSettings())


def test_a_chain_has_one_mutual_pair():
    """The nearest two of all are always each other's; the chain that leads to them has no other pair."""
    angles = np.cumsum([0.0, 1.0, 0.9, 0.8])  # the next is nearer each time
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    choice = fit_noise(features, np.arange(4), np.full(4, -1), NoiseSettings(noise="on", k=1))
    assert choice.denoiser.num_pairs == 1


def test_names_of_cameras_do_not_matter():
    features, camids = CASES["huge camera numbers"]
    named = fit_noise(features, camids, PIDS, NoiseSettings(means="camera", noise="on"))
    plain = fit_noise(FEATURES, CAMIDS, PIDS, NoiseSettings(means="camera", noise="on"))
    np.testing.assert_array_equal(named.denoiser.weight, plain.denoiser.weight)
    assert set(named.denoiser.camera_means) == {2**40, 2**62}
    np.testing.assert_array_equal(
        named.denoiser.apply(features, camids), plain.denoiser.apply(FEATURES, CAMIDS)
    )
