"""`python build.py LIBRARY DIRECTORY`: what `kustomize build DIRECTORY` prints, or its error and exit code 1.

A process of its own: the library brings Go's runtime and its threads along.
"""

import ctypes
import sys

library = ctypes.CDLL(sys.argv[1])
library.pykustomize_last_error.restype = ctypes.c_char_p
built = ctypes.c_char_p()
if library.pykustomize_build(sys.argv[2].encode(), b'{"reorder": "none"}', ctypes.byref(built)):
    sys.exit(library.pykustomize_last_error().decode())
sys.stdout.write((built.value or b"").decode())
