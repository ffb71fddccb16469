"""A finished run put to the test: a trial evaluated again, and the promise measured on a live endpoint.

``agreement`` (is a result the same again?), ``promises`` (does what was promised hold?) and ``drift`` (is it still the
service that was proved?) are pure; ``reproduce`` and ``verify`` do the work, ``tables`` shows it.
"""
