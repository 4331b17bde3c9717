"""A run folder: this package alone knows its files, their columns and how they are read (lesson 05).

`RunFolder` writes a run while it is made and `Extraction` holds one in memory; `read_run` reads what there is
of it, `Extraction.read` only what is whole. Clusters, maps, probes and labels belong to a run and are read
here, too.
"""

from course_utils.runs.clusters import Clusters, read_clusters, write_clusters
from course_utils.runs.errors import LabelsError, RunError
from course_utils.runs.folder import Extraction, RunFolder
from course_utils.runs.labels import (
    MatchedLabels,
    as_categories,
    compared_columns,
    match_labels,
    read_labels,
    women,
)
from course_utils.runs.maps import Map, read_maps, write_map
from course_utils.runs.plans import (
    Claim,
    Plan,
    StoredPlan,
    read_claims,
    read_plan,
    read_stored_plan,
    write_claims,
    write_plan,
)
from course_utils.runs.probes import StoredProbe, probe_file, probe_files, read_probe, write_probe
from course_utils.runs.reading import Run, read_run
from course_utils.runs.summary import Summary, summarise

__all__ = [
    "Claim",
    "Clusters",
    "Extraction",
    "LabelsError",
    "Map",
    "MatchedLabels",
    "Plan",
    "Run",
    "RunError",
    "RunFolder",
    "StoredPlan",
    "StoredProbe",
    "Summary",
    "as_categories",
    "compared_columns",
    "match_labels",
    "probe_file",
    "probe_files",
    "read_claims",
    "read_clusters",
    "read_labels",
    "read_maps",
    "read_plan",
    "read_probe",
    "read_run",
    "read_stored_plan",
    "summarise",
    "women",
    "write_claims",
    "write_clusters",
    "write_map",
    "write_plan",
    "write_probe",
]
