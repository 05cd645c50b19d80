#!/usr/bin/env python3
"""Print the oldest versions that pyproject.toml admits, as pip requirements `name==version`."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
tested = sum(
    (extras[name] for name in ("checkpoint", "examples", "progress", "test")),
    project["dependencies"],
)
for requirement in tested:
    if not requirement.startswith(project["name"]):
        name, version = re.fullmatch(r"([\w-]+)>=([\w.]+)", requirement).groups()
        print(f"{name}=={version}")
