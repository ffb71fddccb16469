"""Where runs are kept: a folder on a local disk or NFS, or in object storage. Five verbs, and who may write.

Every verb raises OSError, with FileExistsError and FileNotFoundError where they fit.
"""

from scoot_ray.storage.lease import USUAL, HeldError, Lease, LeaseTimes, hold, holder
from scoot_ray.storage.local import LocalStorage
from scoot_ray.storage.places import Place, PlaceError, absolute, is_uri, local_path, storage_at
from scoot_ray.storage.retrying import Patience, Retrying
from scoot_ray.storage.storage import Storage

__all__ = [
    "USUAL",
    "HeldError",
    "Lease",
    "LeaseTimes",
    "LocalStorage",
    "Patience",
    "Place",
    "PlaceError",
    "Retrying",
    "Storage",
    "absolute",
    "hold",
    "holder",
    "is_uri",
    "local_path",
    "storage_at",
]
