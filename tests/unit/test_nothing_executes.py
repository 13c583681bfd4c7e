"""Nothing in the package executes what it was given: its own syntax trees are looked through."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "spinescore"
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.execve", "os.execvp", "os.spawnv",
    "subprocess.getoutput", "subprocess.getstatusoutput", "marshal.loads", "marshal.load", "shelve.open",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "yaml.load", "importlib.import_module", "runpy.run_path",
    "joblib.load", "torch.load", "pandas.read_pickle", "pd.read_pickle",
    "pl.DataFrame.deserialize", "tarfile.open", "zipfile.ZipFile.extractall", "shutil.unpack_archive",
}  # fmt: skip
METHODS = {"extractall", "extract", "read_pickle", "deserialize", "unsafe_load", "query", "eval_str"}
KNOWN = {
    ("shell/checkpoints.py", "torch.load"): "weights_only=True, held below",
    ("shell/indexing/spool.py", "pickle.load"): "a temporary file without a name, written by this process",
}
"""What is looked for, and the places that may: each with its reason."""


def trees() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def suspects(tree: ast.AST) -> Iterator[str]:
    for name, call in calls(tree):
        method = name.rpartition(".")[2] if "." in name else ""
        shell = any(k.arg == "shell" and not _is_false(k.value) for k in call.keywords)
        if name in CALLS or method in METHODS - {"extract"} or shell:
            yield name
        if any(k.arg == "allow_pickle" and not _is_false(k.value) for k in call.keywords):
            yield name


def _is_false(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is False


def test_nothing_is_evaluated_unpickled_unpacked_or_given_to_a_shell() -> None:
    found = {(name, call) for name, tree in trees() for call in suspects(tree)}
    assert found == set(KNOWN)


@pytest.mark.parametrize(
    "code",
    [
        "eval(text)", "subprocess.run(words, shell=True)", "pickle.loads(content)", "archive.extractall(folder)",
        "np.load(path, allow_pickle=True)", "os.system(line)", "pd.read_pickle(path)", "torch.load(path)",
    ],
)  # fmt: skip
def test_what_would_is_seen(code: str) -> None:
    assert list(suspects(ast.parse(code))) != []


def test_a_checkpoint_is_read_as_weights_alone() -> None:
    (tree,) = [tree for name, tree in trees() if name == "shell/checkpoints.py"]
    (loading,) = [call for name, call in calls(tree) if name == "torch.load"]
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in loading.keywords}
    assert given["weights_only"] == "True"


def test_no_process_is_started_by_a_string() -> None:
    """Words, not a line that would be split: every program started is a list built here."""
    lines = {
        (name, ast.unparse(call.args[0]))
        for name, tree in trees()
        for function, call in calls(tree)
        if function in {"subprocess.run", "subprocess.Popen", "subprocess.check_output"} and call.args
        if isinstance(call.args[0], ast.Constant | ast.JoinedStr)
    }
    assert lines == set()


def test_templates_of_the_report_escape_what_they_are_given() -> None:
    from spinescore.shell.render import environment

    assert environment().autoescape is True
    marked = [
        path
        for path in PACKAGE.parent.joinpath("templates").rglob("*.j2")
        if "|safe" in path.read_text().replace(" ", "")
    ]
    assert marked == []


def test_no_option_takes_a_secret() -> None:
    """Arguments are seen by every user of a machine: the key of pseudonyms comes from its file alone."""
    import typer

    from spinescore.cli import app

    options = {option.lower() for option in _options(typer.main.get_command(app))}
    assert len(options) > 50
    assert [o for o in options if any(word in o for word in ("password", "secret", "token", "key"))] == []


def _options(command: object) -> Iterator[str]:
    for parameter in getattr(command, "params", ()):
        yield from (name for name in parameter.opts if name.startswith("-"))
    for child in getattr(command, "commands", {}).values():
        yield from _options(child)
