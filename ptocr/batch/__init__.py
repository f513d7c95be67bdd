"""Batch jobs: many inputs into one folder, resumable after a kill, over processes or over a Ray cluster."""

from ptocr.batch.job import Job, run_job
from ptocr.batch.manifest import Manifest

__all__ = ["Job", "Manifest", "run_job"]
