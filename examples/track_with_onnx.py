"""Match boxes between frames by the features of an exported model; needs numpy, Pillow and onnxruntime alone.

python tools/export.py --weights runs/demo/denoised.pth --out demo.onnx --with-preprocessing
python examples/track_with_onnx.py demo.onnx
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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


def crop(frame: Image.Image, box: Array, session: Any) -> Array:
    """The pixels of a box (x1, y1, x2, y2) as (3, H, W) float32, resized as the model sees images.

    Pillow's resize is antialiased. That of OpenCV is not, and costs real retrieval several points of mAP.
    """
    height, width = session.get_inputs()[0].shape[2:]
    mode = session.get_modelmeta().custom_metadata_map["interpolation"]
    how = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[mode]
    resized = frame.crop(tuple(box.tolist())).resize((width, height), how)
    return np.asarray(resized, np.float32).transpose(2, 0, 1)


def embed(session: Any, frame: Array, boxes: Array) -> Array:
    """Features (N, D) of length 1 of boxes (N, 4) of a frame (H, W, 3) uint8 in RGB; boxes lie inside it."""
    picture = Image.fromarray(frame)
    crops = np.stack([crop(picture, box, session) for box in boxes])
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
    boxes = np.array([[10, 10, 42, 74], [60, 10, 92, 74], [110, 10, 142, 74]])
    features = []
    for order in ([0, 1, 2], [2, 0, 1]):
        frame = np.full((90, 160, 3), 128, np.uint8)
        for (left, top, right, bottom), person in zip(boxes, order, strict=True):
            frame[top:bottom, left:right] = colours[person]
            frame[top + 8 * person : top + 8 * person + 12, left:right] = 255 - colours[person]
        features.append(embed(session, frame, boxes))
    for old, new in match(*features):
        sys.stdout.write(f"box {old} of the first frame is box {new} of the second\n")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1] or sys.argv[1].startswith("-"):
        raise SystemExit("usage: python examples/track_with_onnx.py MODEL.onnx")
    main(sys.argv[1])
