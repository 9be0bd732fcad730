"""Writes build/sweeplens.mcpb: the manifest, a pyproject.toml that names this version, and the start of the server.

The bundle holds no packages: `uv`, which its client brings, installs them for the machine at hand.

    python packaging/bundle.py [FOLDER]
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path

_HERE = Path(__file__).parent
_MAIN = '"""Starts the server."""\n\nfrom sweeplens_mcp.cli import run\n\nrun()\n'


def bundle(folder: Path) -> Path:
    """Write the bundle into a folder."""
    manifest = (_HERE / "manifest.json").read_text(encoding="utf-8")
    version = json.loads(manifest)["version"]
    project = (
        f'[project]\nname = "sweeplens-bundle"\nversion = "{version}"\nrequires-python = ">=3.11"\n'
        f'dependencies = ["sweeplens=={version}"]\n'
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sweeplens.mcpb"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("manifest.json", manifest), ("pyproject.toml", project), ("main.py", _MAIN)):
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
    return path


if __name__ == "__main__":
    print(bundle(Path(sys.argv[1] if len(sys.argv) > 1 else "build")))
