"""CLIP's text encoder, fed with prompts some of whose words are learned; nothing here learns them."""

import importlib
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from reid.models.weights import load_strictly, refuse_values
from reid.utils import InputError

PROMPT = "A photo of a X X X X {}."
# Of the prompt: the start and "a photo of a", then the words that are learned in the places of X.
NUM_PREFIX, NUM_LEARNED = 5, 4
CONTEXT_LENGTH, VOCABULARY = 77, 49408
HEAD_WIDTH = 64
# A CLIP-ReID checkpoint's names. It keeps embeddings of the prompt instead of those of all words.
ENCODER, LEARNER = "text_encoder.", "prompt_learner."
PREFIX, SUFFIX, LEARNED = "token_prefix", "token_suffix", "cls_ctx"
TOKENS, POSITIONS, PROJECTION = "token_embedding.weight", "positional_embedding", "text_projection"
BLOCKS = "transformer.resblocks."
FIRST_LAYER = f"{BLOCKS}0.mlp.c_fc.weight"
# What an encoder consists of besides its blocks, and what its sizes are read off.
PARTS = (POSITIONS, PROJECTION, "ln_final.weight", "ln_final.bias")
SIZES = {POSITIONS: 2, PROJECTION: 2, FIRST_LAYER: 2, PREFIX: 3, SUFFIX: 3}


class TextEncoder(nn.Module):
    """Map prompts to features as CLIP does, the words of a prompt being given as embeddings.

        z_0 = [prefix, context, suffix] + positions
        z_l = block_l(z_{l-1})        a token attends to itself and to those before it
        T = LayerNorm(z_L)[end] W_projection

    The prefix is the start token and "a photo of a", the suffix what follows the learned words: "person .",
    the end token, and what fills up to 77.

    Only tokens up to the end token are computed: those behind it are attended to by none of them.

    Source: Radford et al., "CLIP", ICML 2021; the prompt is of Li, Sun, Li, "CLIP-ReID", AAAI 2023.

    Args:
        width: D of the words' embeddings.
        depth: Blocks.
        hidden: Width of a block's MLP.
        out_dim: Width of a text feature.
        end: Place of the end token in the prompt.

    Raises:
        InputError: If open_clip is not installed, or the width cannot be divided into heads.
    """

    token_prefix: Tensor
    token_suffix: Tensor
    mask: Tensor

    def __init__(self, width: int, depth: int, hidden: int, out_dim: int, end: int) -> None:
        super().__init__()
        parts = require_open_clip().transformer
        heads = max(width // HEAD_WIDTH, 1)
        if width % heads:
            raise InputError(f"the text's width must be a multiple of {HEAD_WIDTH} or less, got {width}")
        self.width, self.out_dim, self.end = width, out_dim, end
        # The package rounds width times ratio down.
        ratio = (hidden + 0.5) / width
        self.transformer = parts.Transformer(
            width, depth, heads, mlp_ratio=ratio, act_layer=parts.QuickGELU, batch_first=True
        )
        self.positional_embedding = nn.Parameter(torch.empty(CONTEXT_LENGTH, width))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.empty(width, out_dim))
        num_suffix = CONTEXT_LENGTH - NUM_PREFIX - NUM_LEARNED
        self.register_buffer(PREFIX, torch.empty(1, NUM_PREFIX, width))
        self.register_buffer(SUFFIX, torch.empty(1, num_suffix, width))
        mask = torch.full((end + 1, end + 1), -torch.inf).triu(1)
        self.register_buffer("mask", mask, persistent=False)

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], path: Path, noun: str = "person") -> "TextEncoder":
        """The encoder in a CLIP-ReID checkpoint or in a CLIP model's state dict, frozen, in eval mode.

        Args:
            tensors: By name; what is not the text's is left alone.
            path: Where they are from, for the errors.
            noun: What the prompt calls the images' subject. A CLIP-ReID checkpoint keeps its own, of which
                only the number of tokens must be the same.

        Raises:
            InputError: If open_clip is not installed, the tensors are no text encoder, one is missing, of
                another shape or not finite, or the file's own prompt has another number of tokens.
        """
        ids = tokenize_prompt(noun)
        state = _encoder_state(tensors, ids, path)
        missing = [key for key in SIZES if key not in state]
        if missing:
            raise InputError(f"{path} has no whole text encoder: {', '.join(missing)} missing")
        for key, ndim in SIZES.items():
            if state[key].ndim != ndim or not state[key].numel():
                raise InputError(
                    f"{path}: {key} must have {ndim} dimensions and values, got {tuple(state[key].shape)}"
                )
        hidden, width = state[FIRST_LAYER].shape
        depth = len({key.split(".")[2] for key in state if key.startswith(BLOCKS)})
        out_dim = state[PROJECTION].shape[1]
        encoder = cls(width, depth, hidden, out_dim, end=int(ids.argmax()))
        load_strictly(encoder, state, path)
        encoder._check_end(noun, path)
        return encoder.eval().requires_grad_(False)

    def _check_end(self, noun: str, path: Path) -> None:
        """The prompt that a file keeps must end where the noun's does: what follows its end is all alike."""
        suffix = self.token_suffix[0]
        filled = (suffix != suffix[-1]).any(1).nonzero().flatten()
        # A suffix that is filled up to its very end is no prompt's; nothing can be read off it.
        if not len(filled) or int(filled[-1]) + 2 >= len(suffix):
            return
        found = NUM_PREFIX + NUM_LEARNED + int(filled[-1])
        if found != self.end:
            raise InputError(
                f"{path} keeps a prompt that ends at token {found}, with the noun '{noun}' it would end at"
                f" {self.end}; leave out --noun, or name one of as many tokens"
            )

    def prompts(self, context: Tensor) -> Tensor:
        """Put learned words (B, 4, D) into the prompt, which gives (B, 77, D)."""
        batch = len(context)
        prefix, suffix = self.token_prefix.expand(batch, -1, -1), self.token_suffix.expand(batch, -1, -1)
        return torch.cat([prefix, context, suffix], dim=1)

    def encode(self, prompts: Tensor) -> Tensor:
        """Map prompts (B, 77, D), without positions, to text features (B, out_dim)."""
        tokens = (prompts + self.positional_embedding)[:, : self.end + 1]
        tokens = self.transformer(tokens, attn_mask=self.mask)
        feature: Tensor = self.ln_final(tokens[:, self.end]) @ self.text_projection
        return feature

    def forward(self, context: Tensor) -> Tensor:
        """Map learned words (B, 4, D) to text features (B, out_dim)."""
        return self.encode(self.prompts(context))


def require_open_clip() -> ModuleType:
    """The package ``open_clip``, imported where it is used.

    Raises:
        InputError: If it cannot be imported.
    """
    try:
        return importlib.import_module("open_clip")
    except ImportError as error:
        raise InputError(
            f'texts need the package open_clip ({error}); install it with: pip install "denoisereid[clip]"'
        ) from error


def tokenize_prompt(noun: str) -> Tensor:
    """(77,) int64 tokens of the prompt; the end token is the largest.

    Raises:
        InputError: If open_clip is not installed, or the noun is empty or leaves no room for the end token.
    """
    if not noun.strip():
        raise InputError(
            "the prompt must name what the images show, got an empty noun; use person or vehicle"
        )
    # One token more: a prompt that is too long is cut, and then fills it.
    ids: Tensor = require_open_clip().tokenize([PROMPT.format(noun)], CONTEXT_LENGTH + 1)[0]
    if ids[CONTEXT_LENGTH]:
        raise InputError(f"the prompt must have at most {CONTEXT_LENGTH} tokens, '{noun}' gives more")
    return ids[:CONTEXT_LENGTH]


def learned_context(tensors: dict[str, Tensor], encoder: TextEncoder, path: Path) -> Tensor:
    """The words (K, 4, D) that a CLIP-ReID checkpoint has learned for its K identities.

    Row k is of class k of that training: whoever pairs them with images must number identities as it did.

    Raises:
        InputError: If there are none, or they are not of the encoder's width or not finite.
    """
    context = tensors.get(LEARNER + LEARNED)
    if context is None:
        raise InputError(
            f"{path} has no learned prompts ({LEARNER}{LEARNED}); learn them, or name a CLIP-ReID checkpoint"
        )
    wanted = (NUM_LEARNED, encoder.width)
    if context.ndim != 3 or context.shape[1:] != wanted or not len(context):
        raise InputError(
            f"{path}: {LEARNED} must be (K, {wanted[0]}, {wanted[1]}), got {tuple(context.shape)}"
        )
    refuse_values(path, {LEARNED: context}, {LEARNED: encoder.positional_embedding})
    return context.float()


def _encoder_state(tensors: dict[str, Tensor], ids: Tensor, path: Path) -> dict[str, Tensor]:
    """The encoder's tensors by its own names, and the prompt's pieces."""
    if any(key.startswith(ENCODER) for key in tensors):
        state = {k.removeprefix(ENCODER): v for k, v in tensors.items() if k.startswith(ENCODER)}
        pieces = {piece: tensors.get(LEARNER + piece) for piece in (PREFIX, SUFFIX)}
        return state | {piece: tensor for piece, tensor in pieces.items() if tensor is not None}
    words = tensors.get(TOKENS)
    if words is None:
        raise InputError(
            f"{path} has no text encoder: neither {ENCODER}* (CLIP-ReID) nor {TOKENS} (CLIP) is among its"
            f" {len(tensors)} keys, such as {next(iter(tensors), 'none')}"
        )
    if words.ndim != 2 or len(words) != VOCABULARY:
        raise InputError(f"{path}: {TOKENS} must be ({VOCABULARY}, D), got {tuple(words.shape)}")
    refuse_values(path, {TOKENS: words}, {TOKENS: torch.empty(0)})
    state = {k: v for k, v in tensors.items() if k in PARTS or k.startswith(BLOCKS)}
    sentence = words[ids][None]  # (1, 77, D)
    return state | {PREFIX: sentence[:, :NUM_PREFIX], SUFFIX: sentence[:, NUM_PREFIX + NUM_LEARNED :]}
