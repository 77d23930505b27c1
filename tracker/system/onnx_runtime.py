"""Imports ONNX Runtime with its telemetry switched off."""

from __future__ import annotations

import os
import sys
from typing import Any

from tracker.system.extras import import_package

VARIABLE = "ORT_DISABLE_TELEMETRY"
"""ONNX Runtime 1.29 and newer connect to the network when imported, unless this variable is set then."""


def import_onnxruntime() -> Any:
    """Import onnxruntime without telemetry.

    The environment is restored. An application that sets the variable, or imports onnxruntime before, decides itself.

    Returns:
        The module.

    Raises:
        ImportError: if it is not installed.
    """
    if VARIABLE in os.environ or "onnxruntime" in sys.modules:
        return import_package("onnxruntime")
    os.environ[VARIABLE] = "1"
    try:
        return import_package("onnxruntime")
    finally:
        os.environ.pop(VARIABLE, None)
