"""Package metadata. Only ``reid`` and its subpackages are installed."""

from pathlib import Path

from setuptools import find_packages, setup

FAISS_GPU = "sys_platform == 'linux' and platform_machine == 'x86_64'"
FAISS_CPU = "sys_platform != 'linux' or platform_machine != 'x86_64'"
# The text encoder of CLIP-ReID's first stage. Before 2.26 its batches came second.
CLIP = ["open_clip_torch>=2.26.1"]
# ONNX files: written by torch with onnxscript, compared with eager by onnxruntime.
ONNX = ["onnx>=1.16", "onnxruntime>=1.18", "onnxscript>=0.2"]

setup(
    name="denoisereid",
    version="0.1.0",
    description="Person and vehicle re-identification with denoisers that fuse into the backbone",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.10",
    packages=find_packages(include=["reid", "reid.*"]),
    package_data={
        "reid": ["py.typed"],
        "reid.evaluation.report": ["page.css", "page.html", "page.js"],
        "reid.leaderboard": ["figures.json"],
    },
    install_requires=[
        "torch>=2.4",
        "torchvision>=0.19",
        "timm>=1.0",
        "safetensors>=0.4",
        "yacs>=0.1.8",
        # The GPU build searches on the CPU where there is no GPU.
        f"faiss-gpu>=1.14; {FAISS_GPU}",
        f"faiss-cpu>=1.8; {FAISS_CPU}",
        "opencv-python>=4.8",
        "scipy>=1.11",
        "numpy>=1.26",
        "pillow>=10",
        "h5py>=3.8",
        "matplotlib>=3.8",
        "tqdm>=4.66",
        "tensorboard>=2.14",
    ],
    extras_require={
        "clip": CLIP,
        "onnx": ONNX,
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "ruff>=0.6",
            "mypy>=1.11",
            "types-tqdm",
            "types-PyYAML",
            *CLIP,
            *ONNX,
        ],
    },
)
