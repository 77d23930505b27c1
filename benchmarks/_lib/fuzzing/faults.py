"""Faults that are injected into the code of one worker; the fuzzing must find each of them.

A fault is a change of a module's text. The module is compiled from the changed text when it is imported, no file is
touched. Where the code has moved on the text is not found, which is an error: the fault has to be written anew.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple


class Fault(NamedTuple):
    """A check that was forgotten, or an error that is not caught. reader: which of the readers must find it."""

    reader: str
    module: str
    right: str
    wrong: str


SEEDED = {
    "a temperature that is not finite": Fault(
        "metadata",
        "tracker.engines.spec",
        "not _is_number(self.temperature) or not 0 < self.temperature < math.inf",
        "not _is_number(self.temperature)",
    ),
    "JSON that is nested too deep": Fault(
        "metadata", "tracker.engines.spec", "except RecursionError:", "except ZeroDivisionError:"
    ),
    "a model that ONNX Runtime cannot load": Fault(
        "onnx",
        "tracker.engines.onnx",
        'providers=providers), ""\n    except Exception as error:',
        'providers=providers), ""\n    except KeyError as error:',
    ),
    "metadata that is no UTF-8": Fault(
        "onnx",
        "tracker.engines.onnx",
        "except UnicodeDecodeError:\n        return {}",
        "except KeyError:\n        return {}",
    ),
    "scores and covariances that are not finite": Fault(
        "weights beside",
        "tracker.tracking.estimator",
        "if not (np.isfinite(scores).all() and (np.abs(covariances) <= furthest_px**2).all()):",
        "if not scores.size:",
    ),
    "a message of Protocol Buffers that is none": Fault(
        "weights beside",
        "tracker.engines.onnx_file",
        "    except (IndexError, ValueError):\n        raise TrackerError",
        "    except IndexError:\n        raise TrackerError",
    ),
    "a model that ONNX's checker refuses": Fault(
        "lint", "export.lint", "except Exception as error:", "except KeyError as error:"
    ),
    "a damaged detector given to OpenCV": Fault(
        "detectors", "tracker.detectors.yunet", "if hashlib.sha256(content).hexdigest() == YUNET.sha256:", "if content:"
    ),
    "a sidecar without an entry": Fault(
        "plans",
        "tracker.engines.tensorrt.plan",
        "except (ValueError, KeyError, TypeError, RecursionError):",
        "except (ValueError, TypeError, RecursionError):",
    ),
    "a plan that was altered": Fault(
        "plans",
        "tracker.engines.tensorrt.plan",
        'if sidecar["plan_sha256"] != hashlib.sha256(plan).hexdigest():',
        'if sidecar["plan_sha256"] is None:',
    ),
    "a plan's key of other types": Fault(
        "plans", "tracker.engines.tensorrt.plan", "if not _is_well_formed(key) or ", "if "
    ),
    "a configuration of Triton that is no text": Fault(
        "triton",
        "export.triton",
        "except (text_format.ParseError, UnicodeDecodeError):",
        "except text_format.ParseError:",
    ),
    "a tensor that the client cannot read": Fault(
        "triton answers", "tracker.engines.triton", "except Exception:  # the client", "except KeyError:  # the client"
    ),
    "a tensor that is not finite": Fault(
        "triton answers", "tracker.engines.triton", "if not (np.abs(found) <= LARGEST).all():", "if not found.size:"
    ),
    "a picture's header that ends early": Fault(
        "pictures",
        "tracker.sources.picture_size",
        "except (struct.error, IndexError, ValueError",
        "except (IndexError, ValueError",
    ),
    "a picture that is none": Fault(
        "labelled pictures",
        "tracker.datasets.sample",
        "MOST_PIXELS)\n        except TrackerError as error:",
        "MOST_PIXELS)\n        except OSError as error:",
    ),
    "a stored picture that HDF5 cannot read": Fault(
        "cofw pictures",
        "tracker.datasets.cofw",
        "except Exception as error:  # h5py",
        "except OSError as error:  # h5py",
    ),
    "times that run back": Fault(
        "frames",
        "tracker.sources.base",
        "elif math.isfinite(stated_s) and stated_s - self._zero_s > self._last_s:",
        "elif math.isfinite(stated_s):",
    ),
    "a frame rate of zero": Fault("frames", "tracker.sources.arrays", "if not 0 < fps < math.inf:", "if fps < 0:"),
    "landmarks that are not finite": Fault(
        "landmarks",
        "tracker.face.landmarks",
        "if not ((least <= array) & (array <= most)).all():",
        "if not array.size:",
    ),
    "a value of YAML that cannot be": Fault(
        "YAML",
        "tracker.cli.config_files",
        "except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:",
        "except RecursionError as error:",
    ),
    "a YAML file that is no text": Fault(
        "YAML", "tracker.cli.command", "except UnicodeDecodeError:", "except ZeroDivisionError:"
    ),
    "points that are not finite": Fault(
        "pts", "tracker.face.pts", "if not np.isfinite(values).all():", "if not values.size:"
    ),
    "a label that is not finite": Fault(
        "tables",
        "tracker.datasets.collect",
        "if numbers is not None and not np.isfinite(numbers).all():",
        "if numbers is not None and not numbers.size:",
    ),
    "another count of points": Fault(
        "tables", "tracker.datasets.collect", "if points.shape != (count, 2):", "if points.shape[1:] != (2,):"
    ),
    "a label of another count": Fault(
        "evaluation", "tracker.datasets.collect", "if points.shape != (count, 2):", "if not len(points):"
    ),
    "a checkpoint without a part": Fault("checkpoints", "train.checkpoints", "if key not in raw:", "if key == raw:"),
    "options that do not fit a class": Fault(
        "checkpoints",
        "train.checkpoints",
        "except Exception as error:  # jsonargparse's own",
        "except KeyError as error:  # jsonargparse's own",
    ),
}


def seed(name: str) -> None:
    """Install an import hook that injects the fault; call it before the module is imported."""
    fault = SEEDED[name]
    assert fault.module not in sys.modules
    sys.meta_path.insert(0, _Finder(fault))


def faulty(fault: Fault, text: str) -> str:
    """Return the module's text with the fault; raise ValueError unless the original text occurs exactly once."""
    if text.count(fault.right) != 1:
        raise ValueError(f"{fault.module}: expected {fault.right!r} once, found it {text.count(fault.right)} times")
    return text.replace(fault.right, fault.wrong)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, and loads it with a fault."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self._fault.module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None and spec.origin is not None
        spec.loader = _Loader(self._fault, spec.origin)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, fault: Fault, path: str) -> None:
        super().__init__(fault.module, path)
        self._fault = fault

    def get_code(self, fullname: str) -> CodeType:
        text = faulty(self._fault, Path(self.path).read_text("utf-8"))
        return compile(text, self.path, "exec", dont_inherit=True)
