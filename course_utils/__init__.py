"""From mammograms to embeddings, and from embeddings to clusters that one may (or may not) believe.

``imaging`` turns a file into a picture, ``embedding`` a picture into a vector, ``analysis`` vectors into an
answer; ``teaching`` is the classroom and ``cli`` the command line. Nothing heavy is imported here.
"""

import os

# OpenMP reads this once, when torch is first imported. By default its threads keep spinning after each loop
# of the network, on the very cores that the read-ahead threads need: a fifth of a run on two cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Arrow reads this when pyarrow is imported. Its default allocator keeps some of what a store frees, more with
# every thousand files; the system's does not (`make bench`, d).
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

__version__ = "0.1.0"

DISCLAIMER = (
    "Educational and research use only. Not for clinical or diagnostic use. "
    "No medical decision may rely on these results."
)
"""The sentence that every notebook, report, table and banner carries."""
