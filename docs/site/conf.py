"""How Sphinx builds the site. `tools/website.py` puts this file beside the pages and starts the build."""

project = "From mammograms to embeddings"
author = "The mammogram-embedding course authors"
html_title = project

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_design",
]

# Lessons are shown as they are stored: a reader sees what the tests have compared.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_ambiguous"]

# Docstrings write `code` as Markdown does.
default_role = "code"
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_use_rtype = False

# MathJax in parts, all of them local: the usual single file is twice as large, half of it a menu. Sphinx
# adds it only to the pages that have mathematics.
mathjax_path = "mathjax/startup.js"
mathjax_options = {"loading_method": "defer"}
mathjax3_config = {
    "loader": {"load": ["input/tex-base", "[tex]/ams", "output/chtml", "a11y/assistive-mml"]},
    "tex": {"packages": ["base", "ams"]},
    "options": {"enableMenu": False},
}

exclude_patterns = ["static", "downloads"]

html_theme = "furo"
html_theme_options = {"navigation_with_keys": True}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_js_files = [("site.js", {"defer": "defer"})]
html_favicon = "static/favicon.svg"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_exclude = ".linenos, .gp, .go"


def setup(app):
    """Say on which level the sidebar's captions are: the theme calls them headings, and leaves that out."""
    app.connect("html-page-context", _level_captions, priority=900)  # after the theme


def _level_captions(app, page, template, context, doctree):
    for tree in ("furo_navigation_tree", "toctree_html"):
        if tree in context:
            context[tree] = context[tree].replace('role="heading"', 'role="heading" aria-level="2"')
