"""Configuration of the documentation. Build it with ``python -m sphinx -b html docs OUTPUT``."""

from sphinx_gallery.sorting import FunctionSortKey

from detectorkit import __version__

project = "detectorkit"
author = "The detectorkit developers"
copyright = "2026, The detectorkit developers"
release = __version__
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.extlinks",
    "myst_parser",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]

exclude_patterns = ["_build", "_templates", "reports"]  # reports are linked to as they are
templates_path = ["_templates"]
default_role = "py:obj"  # single backticks in docstrings are names
highlight_language = "none"  # blocks without a language are commands for a shell

autosummary_generate = True
autodoc_mock_imports = ["safetensors", "torch"]  # an extra
toc_object_entries_show_parents = "hide"  # "fit" and not "HoGSVMDetector.fit"
autodoc_typehints = "none"  # the Parameters sections say more
numpydoc_show_class_members = False  # the template of classes lists them

# The docstrings cite papers by :doi:`...`.
extlinks = {"doi": ("https://doi.org/%s", "doi:%s")}

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

EXAMPLES = [  # in the order in which one would learn
    "plot_first_detector.py",
    "plot_hog_features.py",
    "plot_forensic_features.py",
    "plot_grid_search.py",
    "plot_cross_generator.py",
    "plot_thresholds.py",
    "plot_robustness.py",
    "plot_explanations.py",
]

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "within_subsection_order": FunctionSortKey(EXAMPLES.index),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"detectorkit {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_sidebars = {"**": ["sidebar_sections"]}
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "detectorkit"},
    "navbar_align": "right",
    "navbar_center": [],  # the sections stand in the sidebar
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version", "theme-version"],
}
