"""Write docs/scale.md: estimates from data that no memory holds, measured and estimated. Data are in docs/scale/.

python docs/make_scale.py                 write the page and its plots from the data
python docs/make_scale.py --check         write nothing; exit 1 if the page is not what the data say
python docs/make_scale.py cluster         measure again (any of the parts), then write the page

What a part is: docs/measured_parts.py.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

for _library in ("OMP", "OPENBLAS", "MKL"):  # before numpy is loaded
    os.environ[f"{_library}_NUM_THREADS"] = "1"

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from measured_parts import Page  # noqa: E402

PAGE = Page(
    "scale", "Beyond memory, measured", "measures", ("out_of_core", "cluster"), digits="%.4g"
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(PAGE.main(sys.argv[1:]))
