"""The documentation as a site: `make docs` builds it into build/site, a warning is an error."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import docstrings

project = "rchan"
author = "the rchan authors"
release = version = importlib.metadata.version("rchan")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton"]
exclude_patterns = []
source_suffix = {".md": "markdown"}

# Markdown: headings have anchors (`page.md#heading`), and a link that leads nowhere is a warning.
myst_heading_anchors = 4
myst_links_external_new_tab = False

# The API, from the docstrings. In these, `name` is a name of the package if it is one.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"
nitpicky = False

# Pages of the repository's root are in the folder `project` here; links to them are in both places.
ROOT_PAGES = ("CHANGELOG", "CONTRIBUTING", "SECURITY")


def adapt(app: object, page: str, source: list[str]) -> None:
    """Lead links to pages of the root to their copies; put the commands below their index."""
    up = "../" * page.count("/")
    for name in ROOT_PAGES:
        source[0] = source[0].replace(f"](../{up}{name}.md", f"]({up}project/{name.lower()}.md")
    if page == "reference/cli":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\ncli/*\n```\n"


def setup(app: object) -> None:
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", docstrings.adapt)


html_theme = "furo"
html_title = f"rchan {release}"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0b5e8a", "color-brand-content": "#0b5e8a"},
    "dark_css_variables": {"color-brand-primary": "#6cb8e6", "color-brand-content": "#6cb8e6"},
}
pygments_style = "friendly"
pygments_dark_style = "monokai"

# What is typed, not the prompts and not what is printed, goes to the clipboard.
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_remove_prompts = True
