#!/usr/bin/env python3
"""3 El Diluvio.

    python scripts/load_gateway.py --requests 50 --workers 10.

BASE_PORT names the mesh.
"""

import subprocess
import sys
from pathlib import Path

if __name__ == "__main__":
    dev = Path(__file__).resolve().parents[1] / "dev.py"
    sys.exit(subprocess.call([sys.executable, str(dev), "run", "load", *sys.argv[1:]]))
