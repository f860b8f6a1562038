"The models and their training. Names are imported when asked for, since they need torch (and training needs Lightning)."

from importlib import import_module

_HOME = {"DeepDTA": "deepdta", "DeepConvDTI": "deepconv", "TAPB": "tapb", "untrained": "encoders", "TrainingConfig": "training",
         "TrainingResult": "training", "train": "training"}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME: raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
