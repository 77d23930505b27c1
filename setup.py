"""The packages of the wheel; everything else is in pyproject.toml.

`configs/` is the user's folder in a checkout. In the wheel the same files are train/configs, where the commands find
them by name. pyproject.toml can either find packages or place one elsewhere, not both.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["tracker*", "train*", "export*"]), "train.configs"],
    package_dir={"train.configs": "configs"},
)
