"""How many faults the unit tests find in the pure rules: `python -m benchmarks.mutation [--base REV] [--survivors] [NOUN ...]`.

mutmut puts one small fault at a time into a copy of the rules (a comparison that is off by one, a condition turned round,
an argument that is left out) and runs the noun's own unit tests against it. A fault that no test notices survives. The
score is the share of faults that were found. With `--base`, the rules of another revision are measured in the same way
with the tests of that revision, and the exit code is 1 where the score of a noun has fallen.

What does not count: a fault in nothing but the wording of a sentence (a string with a space in it). A sentence that is
missing altogether does count, and so does every code, name and key.

`pip install --group mutation` brings mutmut; decision 0081 says why it was chosen, and what it does not see.
"""

import argparse
import ast
import difflib
import os
import random
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from mutmut.mutation.file_mutation import mutate_file_contents
from rich.console import Console
from rich.table import Table

_ROOT = Path(__file__).parents[1]
_COPIED = ("src", "tests", "benchmarks", "docs", "pyproject.toml")
# What the files with a noun's rules are called, today and in revisions that `--base` may name.
_RULES = ("rules.py", "pipeline.py", "decide.py", "wants.py")
_VERDICT = (
    *("judge.py", "checks.py", "statistics.py"),
    *("decide.py", "own.py", "events.py", "shares.py", "latency.py", "evidence.py", "tails.py", "risk.py"),
)  # fmt: skip
_RESERVE = ("reactor/reserve.py", "features/retention/reserve.py")
# The tests of a noun are `test_<noun in the singular>_rules.py` and what is named here.
_MORE_TESTS = {
    "releases": ("test_retention_rules.py",),
    "rollouts": ("test_verdict_settings.py",),
    "verdict": ("test_verdict_*.py",),
    "reserve": ("test_reserve.py",),
}
_FOUND = frozenset({"killed", "timeout", "segfault", "suspicious", "check was interrupted by user"})
_MISSED = frozenset({"survived", "no tests"})
_PLUGIN = "mutation_plugin"
_CHILDREN = 2
_NICENESS = 5
_CONFIGURATION = """[mutmut]
source_paths =
    src
only_mutate =
{rules}
also_copy =
    benchmarks
    docs
    {plugin}.py
pytest_add_cli_args_test_selection =
{tests}
pytest_add_cli_args =
    -p
    no:cacheprovider
    -p
    no:unraisableexception
    -p
    no:xdist
    -p
    {plugin}
# A server that has run no test forks the workers: what a cached function remembers would hide faults in what it calls.
process_isolation = forkserver
timeout_constant = 5
timeout_multiplier = 5
use_git_change_detection = false
"""


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun's rules, and the tests that concern them.

    Attributes:
        rules: files, relative to the root of the revision.
        tests: likewise.
        function: the only function that counts, where a file has more than rules.
    """

    name: str
    rules: tuple[Path, ...]
    tests: tuple[Path, ...]
    function: str | None = None


@dataclass(frozen=True, slots=True)
class Mutant:
    """One fault that can be put into a rule.

    Attributes:
        file: relative to the root of the revision.
        name: mutmut's name for it.
        difference: what it changes, as lines of a diff.
    """

    file: Path
    name: str
    difference: str


@dataclass(frozen=True, slots=True)
class Score:
    """Score of a file or of a noun.

    Attributes:
        mutants: faults that were tried.
        survivors: those that no test found.
    """

    mutants: int
    survivors: tuple[Mutant, ...]

    def __add__(self, other: "Score") -> "Score":
        return Score(self.mutants + other.mutants, self.survivors + other.survivors)

    @property
    def share(self) -> float:
        """The share that was found, 0 to 1; 1 where there was nothing to find."""
        return 1.0 - len(self.survivors) / self.mutants if self.mutants else 1.0


Scores = dict[str, dict[Path, Score]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("nouns", nargs="*", metavar="NOUN", help="all where none is named")
    parser.add_argument("--base", metavar="REV", help="a revision to compare with")
    parser.add_argument(
        "--sample", type=int, default=300, metavar="N", help="at most N faults a noun; 0 for all"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides which are sampled")
    parser.add_argument("--survivors", action="store_true", help="show each fault that was missed")
    options = parser.parse_args()
    os.nice(_NICENESS)
    console = Console(width=120, highlight=False)
    before: Scores = {}
    if options.base:
        before = _measure(options.base, options)
        _print(console, f"Mutants of the rules at {options.base}", before)
    after = _measure(None, options)
    _print(console, "Mutants of the rules", after)
    fallen = [
        noun
        for noun, files in after.items()
        if noun in before and _sum(files).share < _sum(before[noun]).share
    ]
    if fallen:
        sys.exit(f"the score of {', '.join(fallen)} has fallen")


def _measure(revision: str | None, options: argparse.Namespace) -> Scores:
    with tempfile.TemporaryDirectory(prefix="gantry-mutation-") as scratch:
        root = Path(scratch) / "revision"
        _check_out(revision, root)
        scores: Scores = {}
        for noun in _nouns(root):
            if options.nouns and noun.name not in options.nouns:
                continue
            print(f"{revision or 'now'}: {noun.name} …", file=sys.stderr, flush=True)
            mutants = _mutants(root, noun)
            if 0 < options.sample < len(mutants):
                mutants = random.Random(options.seed).sample(mutants, options.sample)
            results = _run(
                root, Path(scratch) / noun.name, noun, [mutant.name for mutant in mutants]
            )
            files = dict.fromkeys(noun.rules, Score(0, ()))
            for mutant in mutants:
                missed = results[mutant.name] in _MISSED
                files[mutant.file] += Score(1, (mutant,) if missed else ())
                if missed and options.survivors:
                    print(f"{mutant.name}: {results[mutant.name]}\n{mutant.difference}\n")
            scores[noun.name] = files
        return scores


def _check_out(revision: str | None, root: Path) -> None:
    """Copy `revision`, or the work tree as it is, to `root`."""
    root.mkdir()
    if revision is not None:
        archive = subprocess.run(
            ["git", "archive", revision, *_COPIED], cwd=_ROOT, check=True, stdout=subprocess.PIPE
        )
        with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
            files.extractall(root, filter="data")
        return
    for name in _COPIED:
        if (_ROOT / name).is_dir():
            shutil.copytree(_ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(_ROOT / name, root / name)


def _nouns(root: Path) -> Iterator[Noun]:
    gantry = Path("src", "gantry")

    def existing(files: Sequence[Path]) -> tuple[Path, ...]:
        return tuple(file for file in files if (root / file).exists())

    def tests(noun: str) -> tuple[Path, ...]:
        patterns = (f"test_{noun.removesuffix('s')}_rules.py", *_MORE_TESTS.get(noun, ()))
        found = {test for pattern in patterns for test in (root / "tests" / "unit").glob(pattern)}
        return tuple(test.relative_to(root) for test in sorted(found))

    for directory in sorted((root / gantry / "features").iterdir()):
        features = gantry / "features" / directory.name
        if rules := existing([features / name for name in _RULES]):
            yield Noun(directory.name, rules, tests(directory.name))
    verdict = gantry / "features" / "rollouts" / "verdict"
    yield Noun("verdict", existing([verdict / name for name in _VERDICT]), tests("verdict"))
    reserves = existing([gantry / name for name in _RESERVE])
    yield Noun("reserve", reserves, tests("reserve"), function="decide")


def _mutants(root: Path, noun: Noun) -> list[Mutant]:
    """The faults that can be put into a noun's rules."""
    mutants = []
    for file in noun.rules:
        mutated = mutate_file_contents(str(file), (root / file).read_text(encoding="utf-8"))
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(mutated.code))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        }
        module = ".".join(file.relative_to("src").with_suffix("").parts)
        for name in mutated.mutant_names:
            if noun.function is not None and not name.startswith(f"x_{noun.function}__mutmut_"):
                continue
            before, after = functions[_original(name)], functions[name]
            if _without_wording(before) != _without_wording(after):
                texts = [_source(mutated.code, function) for function in (before, after)]
                mutants.append(Mutant(file, f"{module}.{name}", _difference(*texts)))
    return mutants


def _original(name: str) -> str:
    return f"{name.rpartition('__mutmut_')[0]}__mutmut_orig"


class _Wording(ast.NodeTransformer):
    """Makes all sentences alike."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        sentence = isinstance(node.value, str) and " " in node.value
        return ast.copy_location(ast.Constant(" "), node) if sentence else node


def _without_wording(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The function without its name and the wording of its sentences, to be compared."""
    copy = ast.parse(ast.unparse(function)).body[0]
    assert isinstance(copy, ast.FunctionDef | ast.AsyncFunctionDef)
    copy.name = ""
    return ast.dump(_Wording().visit(copy))


def _source(code: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """The lines of a function below its name."""
    return code.splitlines()[function.lineno : function.end_lineno]


def _difference(old: list[str], new: list[str]) -> str:
    changed = difflib.unified_diff(old, new, lineterm="", n=0)
    return "\n".join(line for line in list(changed)[2:] if not line.startswith("@@"))


def _run(root: Path, run: Path, noun: Noun, mutants: Sequence[str]) -> dict[str, str]:
    """What became of each mutant, in mutmut's words. Everything survives where there is no test."""
    if not noun.tests or not mutants:
        return dict.fromkeys(mutants, "no tests")
    run.mkdir()
    for name in _COPIED:
        (run / name).symlink_to(root / name)
    shutil.copy2(_ROOT / "benchmarks" / f"{_PLUGIN}.py", run)
    values = {
        "plugin": _PLUGIN,
        "rules": "\n".join(f"    {file}" for file in noun.rules),
        "tests": "\n".join(f"    {file}" for file in noun.tests),
    }
    (run / "setup.cfg").write_text(_CONFIGURATION.format(**values), encoding="utf-8")
    _mutmut(run, "run", "--max-children", str(_CHILDREN), *mutants)
    lines = _mutmut(run, "results", "--all", "true").splitlines()
    results = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
    unclear = {name: results[name] for name in mutants if results[name] not in _FOUND | _MISSED}
    if unclear:
        sys.exit(f"mutmut did not get to an end: {unclear}")
    return results


def _mutmut(run: Path, *arguments: str) -> str:
    # As a command of its own: it warns of `python -m mutmut`, which loads its first module twice.
    command = Path(sys.executable).with_name("mutmut")
    ended = subprocess.run(
        [command, *arguments], cwd=run, check=False, capture_output=True, text=True
    )
    if ended.returncode != 0:
        sys.exit(
            f"mutmut {arguments[0]} failed in {run}:\n{ended.stdout[-4000:]}{ended.stderr[-4000:]}"
        )
    return ended.stdout


def _sum(files: dict[Path, Score]) -> Score:
    return sum(files.values(), start=Score(0, ()))


def _print(console: Console, title: str, scores: Scores) -> None:
    table = Table("noun", "file", title=title)
    for column in ("mutants", "killed", "survived", "score"):
        table.add_column(column, justify="right")

    def row(noun: str, file: str, score: Score, style: str | None = None) -> None:
        survived = len(score.survivors)
        share = f"{100 * score.share:.1f} %" if score.mutants else "–"
        numbers = (score.mutants, score.mutants - survived, survived)
        table.add_row(noun, file, *map(str, numbers), share, style=style)

    for noun, files in scores.items():
        for file, score in files.items():
            row(noun, str(file.relative_to("src/gantry")), score)
        if len(files) > 1:
            row(noun, "all", _sum(files), style="bold")
    row("all", "", sum(map(_sum, scores.values()), start=Score(0, ())), style="bold")
    console.print(table)


if __name__ == "__main__":
    main()
