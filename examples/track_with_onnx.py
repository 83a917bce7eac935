"""Match boxes between frames by the features of an exported model; needs numpy and onnxruntime alone.

python tools/export.py --weights runs/demo/denoised.pth --out demo.onnx --with-preprocessing
python examples/track_with_onnx.py demo.onnx
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def load(path: str) -> Any:
    """A session of a model that takes raw pixels; this example normalises none."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors share no other class
        first = str(error).strip().splitlines()[0]
        raise SystemExit(f"{path} must be an ONNX file that can be read: {first}") from error
    told = session.get_modelmeta().custom_metadata_map.get("input")
    if told != "RGB 0..255":
        raise SystemExit(
            f"{path} takes {told or 'unknown input'}: export with --with-preprocessing for this example"
        )
    return session


def crop(frame: Array, box: Array, size: tuple[int, int]) -> Array:
    """The pixels of a box (x, y, w, h) of a frame (H, W, 3) as (3, *size) float32, nearest neighbour."""
    x, y, width, height = box
    rows = y + np.arange(size[0]) * height // size[0]
    columns = x + np.arange(size[1]) * width // size[1]
    return frame[np.ix_(rows, columns)].transpose(2, 0, 1).astype(np.float32)


def embed(session: Any, frame: Array, boxes: Array) -> Array:
    """Features (N, D) of length 1 of boxes (N, 4)."""
    height, width = session.get_inputs()[0].shape[2:]
    crops = np.stack([crop(frame, box, (height, width)) for box in boxes])
    (features,) = session.run(["features"], {"images": crops})
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def match(old: Array, new: Array) -> list[tuple[int, int]]:
    """Pairs of old and new boxes, the most similar pair first; each box is in one pair at most."""
    similarity = old @ new.T
    pairs = []
    for _ in range(min(similarity.shape)):
        row, column = np.unravel_index(similarity.argmax(), similarity.shape)
        pairs.append((int(row), int(column)))
        similarity[row], similarity[:, column] = -np.inf, -np.inf
    return sorted(pairs)


def main(model: str) -> None:
    """Draw three people that change places, and tell who is who."""
    session = load(model)
    colours = np.array([[220, 40, 40], [40, 200, 60], [50, 60, 230]])
    boxes = np.array([[10, 10, 32, 64], [60, 10, 32, 64], [110, 10, 32, 64]])
    features = []
    for order in ([0, 1, 2], [2, 0, 1]):
        frame = np.full((90, 160, 3), 128, np.uint8)
        for (x, y, width, height), person in zip(boxes, order, strict=True):
            frame[y : y + height, x : x + width] = colours[person]
            frame[y + 8 * person : y + 8 * person + 12, x : x + width] = 255 - colours[person]
        features.append(embed(session, frame, boxes))
    for old, new in match(*features):
        sys.stdout.write(f"box {old} of the first frame is box {new} of the second\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1] or sys.argv[1].startswith("-"):
        raise SystemExit("usage: python examples/track_with_onnx.py MODEL.onnx")
    main(sys.argv[1])
