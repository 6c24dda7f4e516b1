"""Makes managers believe that their node has NODE_BYTES of memory: a test may not fill a real one."""

import os

import psutil

_virtual_memory = psutil.virtual_memory


def _small_memory():
    return _virtual_memory()._replace(total=int(os.environ["NODE_BYTES"]))


psutil.virtual_memory = _small_memory
