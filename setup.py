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
    package_data={"tf_mopoe.datasets": ["data/*"]},
    python_requires=">=3.10",
    install_requires=[
        "absl-py>=2.0",
        "keras>=3.10",
        "numpy>=1.26",
        "tensorflow>=2.18",
        "tensorflow-probability[tf]>=0.25",
    ],
    extras_require={
        "eval": ["matplotlib>=3.8", "scikit-learn>=1.4"],  # linear probe, latent mixture, t-SNE, figures
        "datasets": ["scikit-image>=0.22", "scipy>=1.11"],  # PolyMNIST's default backgrounds; SVHN's files
        "train": ["matplotlib>=3.8", "tensorboard>=2.18"],  # pictures and TensorBoard logs of the trainers
        "serving": ["tensorflow-serving-api>=2.18"],  # the gRPC client; an export needs nothing of it
        "edge": ["ai-edge-litert>=1.2"],  # runs the .tflite files; their export checks them with it
        "test": [
            "hypothesis>=6.100",
            "pytest>=8.0",
            "ruff>=0.6",
            "setuptools>=68",
            "wheel",
        ],  # besides all of the above
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
