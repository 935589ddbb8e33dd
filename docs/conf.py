"""How the documentation is built: Markdown by Sphinx and MyST, offline, a warning is an error. It holds no text."""

from importlib.metadata import version as version_of

project = "llm-cache"
author = "the llm-cache authors"
copyright = "the llm-cache authors, MIT licence"
release = version = version_of("llm-cache")

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# Pages link to files of the repository (SECURITY.md, a test): those are outside of the built pages.
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "llm-cache"
html_static_path = ["_static"]
html_theme_options = {"navigation_with_keys": True}
# Nothing is loaded from elsewhere, so that the pages work from a disk.
html_show_sourcelink = False
html_copy_source = False
nitpicky = True
