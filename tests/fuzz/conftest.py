"""Lets the fuzzer and its files be imported by name, here and in the children that they start."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
