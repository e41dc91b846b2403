"""The environments of the peers have what the benchmark's agents need, and no more."""

import subprocess
import sys


def test_the_agents_of_all_contenders_need_no_msgspec() -> None:
    code = "import sys; sys.modules['msgspec'] = None; import benchmarks.agents"
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code
