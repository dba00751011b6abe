"""The child process of the runner: child.py JOURNAL_FD JOB.

Small and guarded, because multiprocessing's spawn imports the main module again.
"""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    from conformance.worker import main

    main(int(sys.argv[1]), sys.argv[2])
