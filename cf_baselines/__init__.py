"""Interaction logs, and the collaborative-filtering models fitted on them."""

if __name__ != "slategym.cf_baselines":
    raise ImportError(
        "import slategym.cf_baselines, not cf_baselines: run `pip install -e .` first"
    )
