"""The kernel behind a layer's asset checks: CRS, schema and geometry rules, and a picture."""

from __future__ import annotations

from pathlib import Path

from geo_assets.kernels.layer_spec import LayerCheckSpec
from geo_assets.kernels.vector_preview import layer_preview
from geo_assets.model import KernelResult, OutputFile
from geo_assets.rules.crs import check_crs
from geo_assets.rules.geometry import GeometryRules, check_geometry
from geo_assets.rules.schema import SchemaRules, check_schema


def check_layer(spec: LayerCheckSpec, workdir: Path) -> KernelResult:
    """Run all rules over a layer.

    Returns:
        The file `preview.svg` (role `overview`, at most 16 KiB); facts `crs`, `schema` and
        `geometry` (findings as JSON), `alt` (the picture in words) and `thumbnail` (SVG text
        of at most 700 bytes).
    """
    crs = check_crs(spec.paths, spec.crs)
    schema = check_schema(spec.paths, SchemaRules(columns=spec.columns, key=spec.key,
                                                  extra_columns=spec.extra_columns))  # fmt: skip
    rules = GeometryRules(geometry_types=spec.geometry_types, null_geometry=spec.null_geometry)
    geometry = check_geometry(spec.paths, rules, key=spec.key)
    preview = layer_preview(spec.paths, crs + geometry)
    path = workdir / "preview.svg"
    path.write_text(preview.svg, encoding="utf-8")
    picture = OutputFile.of(path, "preview.svg", "image/svg+xml", roles=("overview",))
    facts = {
        "crs": crs.as_dict(),
        "schema": schema.as_dict(),
        "geometry": geometry.as_dict(),
        "alt": preview.alt,
        "thumbnail": preview.thumbnail,
    }
    return KernelResult(files=(picture,), facts=facts)
