"""The documentation as a site: `make docs` builds it into build/site, a warning is an error."""

import builtins
import importlib.metadata
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import docstrings
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

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
ROOT = Path(__file__).resolve().parent.parent
ROOT_PAGES = {
    f"{name}.md": f"project/{name.lower()}" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")
}


def from_root(match: re.Match[str]) -> str:
    """A link of a page of the root, for its copy; other pages out there are not in the site."""
    words, target, rest = match.groups(default="")
    if target in ROOT_PAGES:
        return f"[{words}](../{ROOT_PAGES[target]}.md{rest})"
    if target.startswith("docs/"):
        return f"[{words}](../{target.removeprefix('docs/')}{rest})"
    return words if target.endswith(".md") else f"[{words}](../../{target}{rest})"


def adapt(app: Sphinx, page: str, source: list[str]) -> None:
    """Fill in the pages of the root; lead links there; put the commands below their index."""
    for name, copy in ROOT_PAGES.items():
        if page == copy:
            app.env.note_dependency(str(ROOT / name))
            text = (ROOT / name).read_text(encoding="utf-8")
            source[0] = re.sub(r"\[([^][]*)\]\(([^):#]+)(#[^)]*)?\)", from_root, text)
            return
        up = "../" * page.count("/")
        source[0] = source[0].replace(f"](../{up}{name}", f"]({up}{copy}.md")
    if page == "reference/cli":
        source[0] += "\n```{toctree}\n:hidden:\n:glob:\n\ncli/*\n```\n"


def leave_builtins(app: Sphinx, tree: nodes.document) -> None:
    """`bytes` in a signature is Python's, whatever of ours has that name."""
    for link in list(tree.findall(addnodes.pending_xref)):
        if link.get("refdomain") == "py" and link["reftarget"] in vars(builtins):
            choices = list(link.findall(addnodes.pending_xref_condition))
            link.replace_self(choices[0].children if choices else link.children)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", leave_builtins)
    app.connect("source-read", adapt)
    app.connect("autodoc-process-docstring", docstrings.adapt)


# A quote in a command is typed as it is shown.
smartquotes = False
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
