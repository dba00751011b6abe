"""Builds the documentation as a site.

    python tools/site/build.py [TARGET]        TARGET: build/site

Puts the pages together (pages.py, reference.py), has Sphinx make HTML of them, and checks every link in it. A warning
ends it with exit status 1.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

import links  # noqa: E402
import pages  # noqa: E402
import reference  # noqa: E402


def main(target: Path) -> int:
    staged = ROOT / "build" / "site-src"
    made = reference.pages()
    pages.stage(staged, made)
    if (target / "objects.inv").exists():  # all pages anew: each has the whole navigation, and old ones are gone
        shutil.rmtree(target)
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--jobs", "2"]
    command += ["-b", "html", "-c", str(HERE), "-d", str(ROOT / "build" / "site-cache"), "--fresh-env"]
    command += [str(staged), str(target)]
    if done := subprocess.run(command).returncode:
        return done
    if found := links.broken(target):
        print(*found, sep="\n", file=sys.stderr)
        return 1
    print(f"The site is in {target.relative_to(ROOT) if target.is_relative_to(ROOT) else target}: open index.html")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT / "build" / "site"))
