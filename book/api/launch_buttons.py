"""A Sphinx extension: buttons to open a chapter elsewhere, from one setting.

`repository.url` in `_config.yml` names where the book is published. Where it does, chapters get
buttons for Binder and Colab and a link to the repository; where it does not, pages have none and
name no other site.
"""

SERVICES = {
    "notebook_interface": "jupyterlab",
    "binderhub_url": "https://mybinder.org",
    "colab_url": "https://colab.research.google.com",
}
OF_JUPYTER_BOOK = "/executablebooks/jupyter-book"  # the address that it takes for want of another


def chosen(theme: dict) -> dict:
    """The theme's options with all buttons, or with none where no repository is named.

    >>> sorted(chosen({"repository_url": "https://github.com/a/b", "repository_branch": "main"}))
    ['launch_buttons', 'repository_branch', 'repository_url', 'use_repository_button']
    >>> chosen({"repository_url": "", "launch_buttons": {}, "navbar_persistent": []})
    {'navbar_persistent': []}
    """
    url = theme.get("repository_url") or ""
    if url and not url.endswith(OF_JUPYTER_BOOK):
        return theme | {"launch_buttons": SERVICES, "use_repository_button": True}
    unset = ("repository_url", "repository_branch", "path_to_docs", "launch_buttons")
    return {name: value for name, value in theme.items() if name not in unset}


def setup(app) -> dict[str, bool]:
    """Decide once, before the theme reads its options."""

    def decide(app, config) -> None:
        config.html_theme_options = chosen(config.html_theme_options)

    app.connect("config-inited", decide, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
