"""Scripts that import one another from their own folder; the test runs them, pytest does not import them."""

collect_ignore = ["alone.py", "bench.py", "ground.py", "peers.py"]
