"""Settings of all property tests."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("patient", deadline=None)  # no test asserts timing
settings.load_profile("patient")
