#!/usr/bin/env python3
"""6 Condición de Carrera.

    python scripts/race_condition.py.

BASE_PORT names the mesh.
"""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    dev = Path(__file__).resolve().parents[1] / "dev.py"
    sys.exit(subprocess.call([sys.executable, str(dev), "run", "race", *sys.argv[1:]]))
