"""Our checkpoint: a plain state dict, and a header that rebuilds the model without a configuration.

It has two forms with the same content, told apart by the ending when written and by the content when read.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from reid.models.formats import import_content
from reid.models.header import Header
from reid.models.read import has_header, read_file
from reid.models.reid_model import ReIDModel
from reid.models.weights import load_strictly, refuse_shapes
from reid.utils import InputError, as_path, short_name, write_atomically

logger = logging.getLogger(__name__)

SAFETENSORS = ".safetensors"


def save_checkpoint(path: Path, model: ReIDModel, header: Header) -> None:
    """Write model and header, atomically.

    A name that ends in ``.safetensors`` is written in that form, with the header's JSON text as the metadata
    entry ``header``; any other by ``torch.save`` as ``{"header": text, "state_dict": tensors}``.

    Args:
        path: The file, whose folder must be there.
        model: Its weights are written as they are, fused or not.
        header: What rebuilds the model, and where its weights are from.

    Raises:
        OSError: If the file cannot be written; an older one is then left as it was.
    """
    text, tensors = header.as_json(), model.state_dict()
    # To an open file: of a path torch takes the archive's name, which must not be empty.
    with write_atomically(path) as temporary, temporary.open("wb") as file:
        if path.name.lower().endswith(SAFETENSORS):
            # Copies: the format holds each tensor by itself, and in the order of its indices.
            layout = torch.contiguous_format
            copies = {key: tensor.clone(memory_format=layout) for key, tensor in tensors.items()}
            # Other readers of the format ask for the entry "format".
            file.write(to_safetensors(copies, {"format": "pt", "header": text}))
        else:
            torch.save({"header": text, "state_dict": tensors}, file)


def load_checkpoint(path: str | Path) -> tuple[ReIDModel, Header]:
    """Rebuild the model of a checkpoint of this toolkit, in eval mode on the CPU.

    Raises:
        InputError: If the file cannot be read safely, is no such checkpoint, or does not fit its header.
    """
    path = as_path(path)
    return rebuild(read_file(path), path)


def read_header(path: Path) -> Header | None:
    """The header of a file of weights; None where it has none.

    Raises:
        InputError: If the file cannot be read safely, or its header cannot.
    """
    content = read_file(path)
    return Header.from_json(content["header"], path) if has_header(content) else None


def rebuild(content: Any, path: Path) -> tuple[ReIDModel, Header]:
    """The model and header of what :func:`read_file` found in ``path``; see :func:`load_checkpoint`.

    Raises:
        InputError: If it is no such checkpoint, or does not fit its header.
    """
    if not has_header(content):
        raise InputError(f"{path} is no checkpoint of this toolkit; MODEL.PRETRAIN_PATH can start from it")
    header = Header.from_json(content["header"], path)
    if not isinstance(content.get("state_dict"), dict):
        raise InputError(f"{path} has a header but no state_dict")
    # Without memory first: a header can ask for more than there is. Denoisers come on top of the same keys.
    with _header_of(path), torch.device("meta"):
        plain = ReIDModel(header.model, header.preprocessing).state_dict()
    refuse_shapes(path, content["state_dict"], plain)
    with _header_of(path):
        model = ReIDModel(header.model, header.preprocessing)
        if header.state == "attached" and header.denoise is not None:
            model = header.denoise.attach(model)
    load_strictly(model, content["state_dict"], path)
    return model.eval(), header


@contextmanager
def _header_of(path: Path) -> Iterator[None]:
    """Name the file whose header describes what cannot be built."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{path} has a header that describes no model: {error}") from error


def load_any(path: str | Path) -> tuple[ReIDModel, Header]:
    """The model of a file of weights, ours or of any known format, in eval mode on the CPU.

    Raises:
        InputError: If the file cannot be read safely, is of no known format, or does not fit its model.
    """
    path = as_path(path)
    content = read_file(path)
    if has_header(content):
        return rebuild(content, path)
    imported = import_content(content, path)
    return imported.model, imported.header


def load_model(path: str | Path) -> ReIDModel:
    """Load a file of weights for retrieval, in eval mode on the CPU; it needs no configuration.

        model = load_model("fused.pth")
        features = reid.embed(model, paths)     # (N, D)

    A checkpoint of this toolkit or a file of any known format (:mod:`reid.models.formats`), whose network and
    preparation of images are told by its keys. A model with side information also takes the cameras and
    views of the images; without, it uses the mean of their embeddings. One that was adapted with a mean per
    camera likewise takes the cameras of the images that it was adapted to.

    Raises:
        InputError: If the file cannot be read without running code in it, is of no known format, or does not
            fit its model.
    """
    model, _ = load_any(path)
    if model.spec.side is not None:
        side = model.spec.side
        logger.info(
            "%s tells %d cameras and %d views apart; images of others, or of none, take the mean embedding",
            path,
            len(side.cameras),
            len(side.views),
        )
    if model.spec.site is not None:
        site = model.spec.site
        logger.info(
            "%s has means for %d cameras of %s, for embed(images, camids); other cameras take the mean of"
            " all, and images without camids the map with one mean",
            *(path, len(site.cameras), short_name(site.dataset)),
        )
    return model
