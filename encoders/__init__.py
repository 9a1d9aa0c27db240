"""Catalogues, and pretrained encoders that turn their text, images and audio into vectors."""

if __name__ != "slategym.encoders":
    raise ImportError("import slategym.encoders, not encoders: run `pip install -e .` first")
