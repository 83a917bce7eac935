"""Latency of plain, unfused and fused ViT-S at 256x128, interleaved in one run.

python benchmarks/latency.py [BATCH] [ROUNDS]
"""

import sys

import torch

from reid.denoise import attach_denoisers, fuse_denoisers
from reid.evaluation import format_table, measure_latency
from reid.models import ModelSpec, ReIDModel

batch, rounds = (int(word) for word in (*sys.argv[1:], *("16", "15")[len(sys.argv) - 1 :]))
torch.manual_seed(0)
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
plain = ReIDModel(ModelSpec("vit_small", (256, 128), 751)).eval().to(device)
unfused = attach_denoisers(plain, "mlp")
models = {"plain": plain, "unfused": unfused, "fused": fuse_denoisers(unfused)}
results = measure_latency(dict(models), torch.randn(batch, 3, 256, 128, device=device), rounds=rounds)
hardware = (
    torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
)
rows = [
    [name, f"{result.median_ms_per_image:.2f}", f"{result.ratio_to_first:.3f}"]
    for name, result in results.items()
]
print(format_table([f"ViT-S, batch {batch}, {hardware}", "ms/image", "x plain"], rows))
