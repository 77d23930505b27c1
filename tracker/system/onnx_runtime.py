"""ONNX Runtime, imported without the reports that it would send to its maker over the network."""

from __future__ import annotations

import os
import sys
from typing import Any

from tracker.system.extras import import_package

VARIABLE = "ORT_DISABLE_TELEMETRY"
"""Of ONNX Runtime 1.29 and newer, which otherwise connect from their import on; it is looked at there alone."""


def import_onnxruntime() -> Any:
    """The module onnxruntime. Raises ImportError where it is missing.

    The environment is left as it was. Who sets the variable, or imports onnxruntime before, decides for this process.
    """
    if VARIABLE in os.environ or "onnxruntime" in sys.modules:
        return import_package("onnxruntime")
    os.environ[VARIABLE] = "1"
    try:
        return import_package("onnxruntime")
    finally:
        os.environ.pop(VARIABLE, None)
