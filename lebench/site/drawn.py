"""Pictures as files: what a reader without scripts, from a disk, or on paper sees in place of a specification."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lebench.pictures import Picture
from lebench.site.standalone import asset

_SPEC = ".vl.json"
#: Pixels of a bitmap for each of the picture's.
_SCALE = 1.5


def image_path(path: str, picture: Picture) -> str:
    """Return where the file of a picture stands, empty if none can be drawn here.

    Pictures of thousands of cells, which ask for a canvas, are bitmaps.
    """
    if not importlib.util.find_spec("vl_convert"):
        return ""
    return path.removesuffix(_SPEC) + (".png" if "usermeta" in picture.spec else ".svg")


def draw(pages: Mapping[str, str], folder: Path) -> dict[str, bytes]:
    """Return the files of all specifications among pages, by path; what an earlier build drew is kept.

    Parameters
    ----------
    pages : mapping of str to str
        Text by path inside the folder.
    folder : Path
        Where an earlier build may have left them.
    """
    if not importlib.util.find_spec("vl_convert"):
        return {}
    found = {}
    for path, text in pages.items():
        if not path.endswith(_SPEC):
            continue
        spec = json.loads(text)
        target = path.removesuffix(_SPEC) + (".png" if "usermeta" in spec else ".svg")
        before = folder / path, folder / target
        if all(file.is_file() for file in before) and before[0].read_text(encoding="utf-8") == text:
            found[target] = before[1].read_bytes()
        else:
            found[target] = _png(spec) if target.endswith(".png") else _svg(spec)
    return found


def _png(spec: dict[str, Any]) -> bytes:
    import vl_convert

    # A bitmap has one background: that of paper.
    themed = spec | {"config": spec["config"] | _config(), "background": "white"}
    content: bytes = vl_convert.vegalite_to_png(themed, vl_version="6.4", scale=_SCALE)
    return content


def _svg(spec: dict[str, Any]) -> bytes:
    import vl_convert

    text: str = vl_convert.vegalite_to_svg(spec | {"config": spec["config"] | _config()}, vl_version="6.4")
    light, dark = _schemes()
    for name, value in light.items():
        text = text.replace(f'"{value}"', f'"var({name})"')
    rules = (";".join(f"{name}:{value}" for name, value in scheme.items()) for scheme in (light, dark))
    style = "<style>:root{{{}}}@media (prefers-color-scheme:dark){{:root{{{}}}}}</style>".format(*rules)
    return re.sub(r"(<svg[^>]*>)", lambda match: match[1] + style, text, count=1).encode()


@cache
def _schemes() -> tuple[dict[str, str], dict[str, str]]:
    """Return the colours of pictures in the light and in the dark scheme, from the style sheet."""
    blocks = re.findall(r"\{([^}]*--le-series-0[^}]*)\}", asset("pictures.css"))
    light, dark = (dict(re.findall(r"(--le-[\w-]+): (#\w+);", block)) for block in blocks[:2])
    return light, dark


def _config() -> dict[str, Any]:
    """Return the theme that ``pictures.js`` makes of the style sheet, in light colours."""
    light, _ = _schemes()
    ink, muted, rule = (light[f"--le-picture-{name}"] for name in ("ink", "muted", "rule"))
    text = {"labelColor": muted, "titleColor": muted, "labelFontSize": 11, "titleFontSize": 11}
    return {
        "background": None,
        "view": {"stroke": None},
        "axis": text | {"titleFontWeight": "normal", "domainColor": rule, "tickColor": rule, "gridColor": rule},
        "legend": text | {"orient": "bottom", "columns": 4},
        "title": {"color": ink, "fontSize": 12, "anchor": "start"},
        "mark": {"color": light["--le-series-0"]},
        "rule": {"color": ink},
        "range": {"category": [light[f"--le-series-{k}"] for k in range(10)]},
    }
