"""How long `import zoo` and `zoo list` take, as whole processes, in turns with timm's.

Run: python benchmarks/startup.py
"""

import argparse
import statistics
import subprocess
import sys
import time

EMPTY = "pass"
COMMANDS = {
    "an empty process": EMPTY,
    "import zoo": "import zoo",
    "zoo list": "import sys; sys.argv = ['zoo', 'list']; from zoo.cli import main; main()",
    "timm.list_models()": "import timm; print(len(timm.list_models()))",
}


def seconds(code: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.turns):
        for name, code in COMMANDS.items():
            found[name].append(seconds(code))
    for name, times in found.items():
        print(f"{name:20} {statistics.median(times):.3f} s   (least {min(times):.3f})")


if __name__ == "__main__":
    main()
