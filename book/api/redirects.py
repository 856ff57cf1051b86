"""A Sphinx extension: addresses that pages had before lead to where their contents are now."""

from pathlib import Path

MOVED = {
    "02_data": "02_speech",
    "03_ssl": "07_bottleneck",
    "04_ssps": "05_ssps",
    "05_effects": "11_representations",
    "06_when": "13_when",
    "07_frameworks": "04_frameworks",
    "08_paper_and_code": "15_paper_and_code",
    "08_frameworks": "04_frameworks",
    "09_paper_and_code": "15_paper_and_code",
    "09_real_speech": "14_real_voices",
    "10_voxceleb": "16_voxceleb",
    "11_recipes": "03_encoders",
    "12_hyperparameters": "08_clusters",
    "13_across_frameworks": "09_across_frameworks",
    "14_state_of_the_art": "10_state_of_the_art",
    "15_cost": "17_cost",
    "16_your_own_loop": "06_your_own_loop",
    "17_status": "A2_records",
    "rerun": "16_voxceleb",
    "api/claims": "api/ssps_book",
    "api/latent": "api/ssps_book",
    "api/paper": "api/ssps_book",
    "api/plots": "api/ssps_book",
}
PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Moved</title>
<meta http-equiv="refresh" content="1; url={new}.html">
<link rel="canonical" href="{new}.html">
<script>location.replace("{new}.html" + location.hash)</script>
<p>This page is now <a href="{new}.html">{new}.html</a>.</p>
</html>
"""


def write(app, error: Exception | None) -> None:
    """One small page at each old address whose successor was built."""
    for old, new in MOVED.items():
        if error is None and app.builder.format == "html" and new in app.env.found_docs:
            page = PAGE.format(new=Path(new).name)
            Path(app.outdir, f"{old}.html").write_text(page, encoding="utf-8")


def setup(app) -> dict[str, bool]:
    """Connect to the end of a build."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
