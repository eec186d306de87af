import sys
from pathlib import Path

# Worker processes import what they are sent from here, as they do from wherever this process can import.
sys.path.append(str(Path(__file__).parent / "importable"))
