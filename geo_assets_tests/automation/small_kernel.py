"""A kernel of a few lines, importable in workers."""

from __future__ import annotations

import logging
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from geo_assets.errors import InputError
from geo_assets.model import Findings, KernelResult, OutputFile


@dataclass(frozen=True, slots=True)
class Text:
    text: str
    seconds: float = 0.0


def write(spec: Text, workdir: Path) -> KernelResult:
    """A file that holds the text; `poison` is refused, `talk` is logged, `slow` takes a minute."""
    time.sleep(60 if "slow" in spec.text else spec.seconds)
    if "poison" in spec.text:
        raise InputError("A text is harmless", repr(spec.text))
    if "talk" in spec.text:
        logging.getLogger("geo_assets.kernels.small").info("writing")
        logging.getLogger("rasterio._env").warning("GDAL says hello")
        sys.stdout.write("printed\n")
    path = workdir / "text.txt"
    path.write_text(spec.text)
    return KernelResult(files=(OutputFile.of(path, "text.txt", "text/plain"),))


def inspect(spec: Path, _workdir: Path) -> KernelResult:
    """The check of it."""
    return KernelResult(facts={"text": Findings(checked=len(spec.read_text())).as_dict()})
