"Models and their training: `isaac.models.DeepDTA`; imported when asked for, since they need torch."

__all__ = ["DeepDTA"]


def __getattr__(name: str):
    if name == "DeepDTA":
        from isaac.models.deepdta import DeepDTA
        return DeepDTA
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
