"""A signal that is raised while a thread asks the ledger leaves the next turn free."""

import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent.parent / "helpers/signalled.py"


def test_a_signal_leaves_no_turn_taken():
    ran = subprocess.run([sys.executable, PROGRAM], capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, f"exit code {ran.returncode}\n{ran.stderr}"
    assert int(ran.stdout) > 900, "the signals were raised while the ledger was asked"
