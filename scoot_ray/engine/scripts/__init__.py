"""Scripts that run under an engine's own Python, which knows nothing of this package.

They have a folder to themselves, since that comes first on their path: no module here may be called as an engine is.
"""
