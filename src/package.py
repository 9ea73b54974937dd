"""What the package is called, `src` in a checkout and `calibrate` in the wheel, and where its files lie."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

NAME = str(__package__)
_HERE = Path(__file__).resolve().parent
IS_CHECKOUT = not (_HERE / "conf").is_dir()
SHIPPED = _HERE.parent if IS_CHECKOUT else _HERE  # where conf/ and data/ lie
CONF = SHIPPED / "conf"


def version() -> str:
    """The version that is installed."""
    try:
        return metadata.version("calibrate-thermometer")
    except metadata.PackageNotFoundError:
        return "not installed"


def command(name: str) -> str:
    """How a command is called: `python -m src.train` in a checkout, `calibrate train` where installed."""
    return f"python -m {NAME}.{name}" if NAME == "src" else f"{NAME} {name}"
