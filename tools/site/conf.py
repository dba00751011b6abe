"""Sphinx's settings. The pages it reads are put together by build.py, in build/site-src."""

from __future__ import annotations

import tomllib
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PROJECT = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
_SOURCE = _PROJECT.get("urls", {}).get("Source") or _PROJECT.get("urls", {}).get("Repository")

project = _PROJECT["name"]
release = version = _PROJECT["version"]
author = _PROJECT["authors"][0]["name"]
copyright = author

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 4  # `page.md#a-heading`, as code hosts name them; a link to one that is not there is a warning

html_theme = "furo"  # light and dark by itself, fonts of the reader's machine: nothing is fetched, so it opens offline
html_title = f"{project} {version}"
html_static_path = [str(Path(__file__).with_name("static"))]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "source_repository": _SOURCE or "",
    "top_of_page_buttons": [],
    "light_css_variables": {"color-brand-primary": "#0b6e4f", "color-brand-content": "#0b6e4f"},
    "dark_css_variables": {"color-brand-primary": "#5fd3a8", "color-brand-content": "#5fd3a8"},
}
smartquotes_action = "D"  # dashes only: quotes are often code
pygments_style = "default"
pygments_dark_style = "github-dark"

add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"
modindex_common_prefix = ["hasten."]
