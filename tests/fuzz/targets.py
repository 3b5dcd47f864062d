"""All targets, by the name of their folder in the corpus."""

from __future__ import annotations

from tests.fuzz import eventlog_targets, function_targets, job_targets, text_targets, wire_targets
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    **wire_targets.TARGETS,
    **eventlog_targets.TARGETS,
    **text_targets.TARGETS,
    **job_targets.TARGETS,
    **function_targets.TARGETS,
}
