"""Makes data/sample anew: python data/make_sample.py."""

from pathlib import Path

from geomap.simulate import make_sample

make_sample(Path(__file__).parent / "sample", seed=7)
