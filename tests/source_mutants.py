#!/usr/bin/env python3
"""Mutates the sources, one mutant at a time, and reports which mutants no test notices.

    tests/source_mutants.py --seed 2026 --count 150          # the sample of docs/mutants.md
    tests/source_mutants.py --seed 2026 --count 150 --list   # its names only

`cargo mutants --list` names every mutant of `src/` and `fake-interpreters/src`; the sample is drawn
from the sorted names with Python's generator, so that a seed, a count and a commit name it. Each
mutant is applied to this working tree, which must be clean, and taken back afterwards. It is tested
in stages, the quick ones first, and is killed by the first stage that fails:

    unit    the unit tests of the changed crate
    room    the integration tests named after the room that the changed file belongs to
    suite   all other tests of the workspace

A mutant that does not compile is no mutant and counts neither way. Results go to a file of JSON
lines, one a mutant, as they come; mutants that stand in it already are not run again.

Needs cargo-mutants (`cargo install cargo-mutants --locked`), cargo-nextest and `patch`.
Exit status: 0 every mutant was killed or is named in docs/mutants.md, 1 one was not, 2 it could not run.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The integration tests that are most likely to notice a change, by the start of the file's path.
ROOMS = [
    ("fake-interpreters/", ["good", "bad", "scripts", "hooks", "serve_http", "driven", "saboteurs"]),
    ("src/api/mock", ["mock"]),
    ("src/api/", ["api_calls", "api_channels", "api_limits", "api_layers", "api_guard", "api_stop", "api_beside", "api_faults"]),
    ("src/hooks/serve_http", ["serve_http", "serve_http_front", "serve_http_properties"]),
    ("src/hooks/", ["hooks", "environment_dispatch", "supervisor_launch"]),
    ("src/http_front/", ["serve_http_front"]),
    ("src/environment/install", ["environment_install"]),
    ("src/environment/", ["environment", "environment_calls", "environment_dispatch", "keeper", "shuttle"]),
    ("src/supervisor/", ["supervisor_launch", "supervisor_refused", "supervisor_stop", "supervisor_output", "supervisor_process", "fault_process", "fault_machine"]),
    ("src/conformance/stress", ["stress"]),
    ("src/conformance/invariants", ["model", "model_supervisor"]),
    ("src/conformance/", ["saboteurs", "cli", "coverage", "integration", "known_failures"]),
    ("src/host/", ["run"]),
    ("src/cli/", ["cli", "run", "stress"]),
    ("src/embedded/", ["embedded", "embedded_kv", "run"]),
]

# Seconds. A mutant that hangs is noticed by this limit.
LIMITS = {"unit": 300, "room": 600, "suite": 1500}


def run(command, limit):
    """Whether the command succeeded, and the end of its output; a hang is a failure."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        subprocess.run(["pkill", "-KILL", "-g", str(process.pid)], check=False)
        output, _ = process.communicate()
        return False, output[-2000:] + "\ntimed out"
    return process.returncode == 0, output[-2000:]


def listed():
    command = ["cargo", "mutants", "--list", "--json", "--diff", "-p", "plugin-conformance", "-p", "fake-interpreters"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        sys.exit(f"cargo mutants --list failed; is it installed?\n{answer.stderr}")
    return sorted(json.loads(answer.stdout), key=lambda mutant: mutant["name"])


def binaries_of(path):
    exists = {file.stem for folder in ("tests", "fake-interpreters/tests") for file in (ROOT / folder).glob("*.rs")}
    exists |= {file.parent.name for file in (ROOT / "tests").glob("*/main.rs")}
    for start, names in ROOMS:
        if path.startswith(start):
            return [name for name in names if name in exists]
    return ["cli"]


def stages(mutant):
    """The name and the build and test command of each stage."""
    nextest = ["cargo", "nextest", "run", "--fail-fast", "--no-tests=pass", "--cargo-quiet"]
    package = mutant["package"]
    # Unit tests of both crates, for the interpreters are tested by the library's as well.
    yield "unit", [*nextest, "-p", package, "--lib", "--bins"]
    binaries = binaries_of(mutant["file"])
    if binaries:
        chosen = [word for name in binaries for word in ("--test", name)]
        yield "room", [*nextest, "--workspace", *chosen]
    yield "suite", [*nextest, "--workspace"]


def patched(mutant, reverse=False):
    command = ["patch", "-p0", "-s", "--no-backup-if-mismatch", "-r", "-", mutant["file"]]
    command += ["-R"] if reverse else []
    return subprocess.run(command, cwd=ROOT, input=mutant["diff"], text=True, check=False).returncode == 0


def tested(mutant, last):
    if not patched(mutant):
        return {"outcome": "unviable", "stage": "patch"}
    try:
        compiles, text = run(["cargo", "check", "-q", "--workspace"], 900)
        if not compiles:
            return {"outcome": "unviable", "stage": "check", "text": text[-300:]}
        for stage, command in stages(mutant):
            good, text = run(command, LIMITS[stage])
            if not good:
                failed = re.findall(r"(?:FAIL|TIMEOUT|SIGABRT|ABORT)[^\n]*\] *(?:\([^)]*\))? *([^\n]+)", text)
                return {"outcome": "killed", "stage": stage, "by": failed[:1] or [text[-200:]]}
            if stage == last:
                break
        return {"outcome": "survived", "stage": last}
    finally:
        subprocess.run(["git", "checkout", "-q", "--", mutant["file"]], cwd=ROOT, check=True)


def named_as_equivalent():
    document = ROOT / "docs" / "mutants.md"
    text = document.read_text() if document.exists() else ""
    return set(re.findall(r"`([^`]+\.rs): (replace|delete) ([^`]+)`", text))


def main():
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    words.add_argument("--seed", type=int, required=True)
    words.add_argument("--count", type=int, default=150)
    words.add_argument("--list", action="store_true", help="print the sample's names and stop")
    words.add_argument("--results", type=pathlib.Path, help="JSON lines; target/source-mutants-SEED.jsonl by default")
    words.add_argument("--last", choices=["unit", "room", "suite"], default="suite", help="the last stage")
    words.add_argument("--again", action="store_true", help="run those that survived once more")
    given = words.parse_args()

    everything = listed()
    sample = random.Random(given.seed).sample(everything, min(given.count, len(everything)))
    print(f"{len(sample)} of {len(everything)} mutants, seed {given.seed}", flush=True)
    if given.list:
        for mutant in sample:
            print(mutant["name"])
        return 0
    dirty = subprocess.run(["git", "status", "--porcelain", "src", "fake-interpreters/src"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if dirty:
        print(f"the sources have uncommitted changes; commit them first:\n{dirty}", file=sys.stderr)
        return 2

    results = given.results or ROOT / "target" / f"source-mutants-{given.seed}.jsonl"
    results.parent.mkdir(parents=True, exist_ok=True)
    known = {}
    if results.exists():
        for line in results.read_text().splitlines():
            entry = json.loads(line)
            known[entry["name"]] = entry
    for number, mutant in enumerate(sample, 1):
        before = known.get(mutant["name"])
        if before and not (given.again and before["outcome"] == "survived"):
            continue
        start = time.monotonic()
        entry = {"name": mutant["name"], **tested(mutant, given.last), "seconds": round(time.monotonic() - start)}
        known[mutant["name"]] = entry
        with results.open("a") as file:
            file.write(json.dumps(entry) + "\n")
        print(f"{number}/{len(sample)} {entry['outcome']} ({entry['stage']}, {entry['seconds']} s) {mutant['name']}", flush=True)

    outcomes = [known[mutant["name"]] for mutant in sample]
    viable = [entry for entry in outcomes if entry["outcome"] != "unviable"]
    survivors = [entry for entry in viable if entry["outcome"] == "survived"]
    equivalents = named_as_equivalent()
    unnamed = []
    for entry in survivors:
        match = re.match(r"(.+\.rs):\d+:\d+: (replace|delete) (.+)", entry["name"])
        if not match or match.groups() not in equivalents:
            unnamed.append(entry["name"])
    killed = len(viable) - len(survivors)
    print(f"{killed} of {len(viable)} mutants killed, {len(survivors) - len(unnamed)} named as equivalent, {len(unnamed)} neither")
    for name in unnamed:
        print(f"survived: {name}")
    return 1 if unnamed else 0


if __name__ == "__main__":
    sys.exit(main())
