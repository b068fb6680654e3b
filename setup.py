import pathlib
import re

from setuptools import find_packages, setup

here = pathlib.Path(__file__).parent
version = re.search(r'__version__ = "(.+)"', (here / "tf_mopoe" / "__init__.py").read_text())[1]

setup(
    name="tf_mopoe",
    version=version,
    description="One generative model of several data types, any of which may be missing: MoPoE-VAE for Keras 3.",
    long_description=(here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # `include`, not `exclude`: only so can no test slip in.
    packages=find_packages(include=["tf_mopoe", "tf_mopoe.*", "trainers"]),
    package_data={"tf_mopoe": ["py.typed"], "tf_mopoe.datasets": ["data/*"]},
    # The lowest versions are those that the whole suite passes with (`make test-lowest`; tests/lowest.txt is their list).
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.0.0",
        # Below 3.13.2 a file may run code when it is loaded, whatever `safe_mode` says (CVE-2026-1462); up to 3.14
        # `output_padding=0` is lost in files; and 3.15 reads the files in saved_models, whose initializers are its own.
        "keras>=3.15.0",
        "numpy>=1.26.0",
        "tensorflow>=2.18.0",
        "tensorflow-probability[tf]>=0.25.0",
    ],
    extras_require={
        "eval": ["matplotlib>=3.8.0", "scikit-learn>=1.4.0"],  # linear probe, latent mixture, t-SNE, figures
        "datasets": ["scikit-image>=0.22.0", "scipy>=1.11.1"],  # PolyMNIST's default backgrounds; SVHN's files
        "train": ["matplotlib>=3.8.0", "tensorboard>=2.18.0"],  # pictures and TensorBoard logs of the trainers
        "serving": ["tensorflow-serving-api>=2.18.0"],  # the gRPC client; an export needs nothing of it
        "tables": ["pandas>=2.1.4", "scipy>=1.11.1"],  # DataFrames of mixed columns; sparse matrices
        "edge": ["ai-edge-litert>=1.3.0"],  # runs the .tflite files; their export checks them with it
        "test": [  # besides all of the above
            "hypothesis>=6.100.0",
            "pytest>=8.2.0",
            "pytest-xdist>=3.6.1",
            "ruff>=0.13.0",
            "setuptools>=70.1.0",
        ],
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
