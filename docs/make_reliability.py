"""Write docs/reliability.md: what R, the data and strangers can do to a check, measured. Data are in docs/reliability/.

python docs/make_reliability.py                      write the page from the data
python docs/make_reliability.py --check              write nothing; exit 1 if the page is not what the data say
python docs/make_reliability.py faults safety bad_data digits versions
                                                     compute data again (any of them), then write the page. versions
                                                     installs many rpy2 and takes half an hour.

What a part is: docs/measured_parts.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from measured_parts import Page  # noqa: E402

PAGE = Page(
    "reliability", "How reliable, measured", "computes", ("faults", "safety", "bad_data", "digits", "versions")
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(PAGE.main(sys.argv[1:]))
