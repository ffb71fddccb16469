"""Stands for vLLM's EngineCore process: lives until it is ended, whatever becomes of its parent."""

import time

while True:
    time.sleep(3600)
