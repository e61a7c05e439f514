"""Work that is measured in a process of its own: `python alone.py NAME …`. Starts small; heavy imports come later."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path


def watch(*command: str) -> None:
    """Seconds, peak memory in kB and last word of a command; a peak begins with its starter's, so start this."""
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    told = child.stdout.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    last = told.split()[-1:] or ["-"]
    sys.stdout.write(f"{time.perf_counter() - start} {used.ru_maxrss} {last[0]}\n")
    sys.exit(child.returncode)


def classes(plots: str, raster: str, product_name: str, repeat: str) -> None:
    """Median seconds of class areas, data read and code compiled before; short work is done for two seconds."""
    import geopandas as gpd
    from peers import timed

    from geomap.landcover.extract import class_areas
    from geomap.landcover.product import product

    table, legend = gpd.read_parquet(plots), product(product_name)
    class_areas(table.iloc[:10], [Path(raster)], legend)
    first = timed(lambda: class_areas(table, [Path(raster)], legend))[0]
    seconds, _ = timed(lambda: class_areas(table, [Path(raster)], legend), max(int(repeat), round(2 / first)))
    sys.stdout.write(f"{seconds}\n")


def exactextract(plots: str, raster: str, strategy: str) -> None:
    """Says that it is ready, waits for a line, does the work, says that it is done."""
    import geopandas as gpd
    from ground import flat
    from peers import CLASSES, run_exactextract

    table = flat(gpd.read_parquet(plots))
    run_exactextract(table.iloc[:10], Path(raster), CLASSES, strategy)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    run_exactextract(table, Path(raster), CLASSES, strategy)
    sys.stdout.write("done\n")


def calibrate(folder: str) -> None:
    """Seconds, MB beside the data, and members of a calibration of three seasons."""
    import pandas as pd
    import psutil

    from geomap.supply.calibrate import calibrate as calibrated
    from geomap.supply.history import History

    members, target = (pd.read_parquet(f"{folder}/{name}.parquet") for name in ("members", "target"))
    totals = pd.DataFrame({"cooperative_id": [], "season": [], "delivered_kg": []}).astype({"cooperative_id": str})
    before = psutil.Process().memory_info().rss / 2**20
    start = time.perf_counter()
    calibrated(History(members, totals), target)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # of this process alone
    sys.stdout.write(f"{seconds} {peak - before} {len(target)}\n")


if __name__ == "__main__":
    {"watch": watch, "classes": classes, "exactextract": exactextract, "calibrate": calibrate}[sys.argv[1]](
        *sys.argv[2:]
    )
