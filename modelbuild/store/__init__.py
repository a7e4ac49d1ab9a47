"""What stages made, by content; and what was asked, by key.

::

    <root>/v1/blobs/ab/cdef…      a file, named by its sha256; read in place, never written to
    <root>/v1/records/ab/cdef…    the answer to a key: which blobs, and everything that made up the key
    <root>/v1/locks/…             held while a key is being worked on; gone with the process that held it
    <root>/v1/drafts/…            what is being written now; a dead process's drafts go with the next process
    <root>/v1/quarantine/…        what turned out to be damaged, for a person to look at
    <root>/v1/pins/…              keys that a sweep must leave, a file a name
    <root>/v1/uses                when keys were last of use

A blob is published before any record that names it, each by one rename, so that a reader or a crash sees all of an
answer or none. Any number of processes may share a store; readers never wait. Whatever is found damaged is set aside
and counts as missing: the answer is made again.

``audit`` reads everything and says what is wrong, ``sweep`` makes room, ``carry`` puts answers into a file and takes
them out of one.

`Store` says what a store can do; `LocalStore` is a folder, `MemoryStore` a fake for tests.
"""

from modelbuild.store.deliver import deliver
from modelbuild.store.interface import Damage, Lost, Store
from modelbuild.store.local import LocalStore
from modelbuild.store.memory import MemoryStore
from modelbuild.store.record import Blob, Kind, Output, Record

__all__ = [
    "Blob",
    "Damage",
    "Kind",
    "LocalStore",
    "Lost",
    "MemoryStore",
    "Output",
    "Record",
    "Store",
    "deliver",
]
