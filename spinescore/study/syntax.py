"""What is wrong with a line that is not TOML, and what its writer probably meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from spinescore.study.lines import BARE_KEY, locate
from spinescore.study.problems import spoken_path

PAIR = re.compile(r"^\s*(?P<key>[^=]*?)\s*=\s*(?P<value>.*?)\s*(?:#[^\"']*)?$")
HEADER = re.compile(r"^\s*\[\[?(?P<names>[^\]]*)\]?\]?")
CURLY = re.compile("[“”„‟«»‘’‚‛]")
WORDS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false", "off": "false"}
NOTHING = frozenset({"", "none", "null", "nil", "na", "n/a"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A place where a text stops being TOML.

    Parameters
    ----------
    message : str
        What tomllib says of it.
    line, column : int
        Where it noticed; the first of each is 1.
    beginning : int
        The line on which the statement begins that it could not make sense of.
    lines : tuple of str
        The text.
    """

    message: str
    line: int
    column: int | None
    beginning: int
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The line that is wrong."""
        return self.lines[self.line - 1]

    @property
    def is_header(self) -> bool:
        """Whether the line opens a section."""
        return self.text.lstrip().startswith("[")

    @property
    def confined(self) -> bool:
        """Whether the fault is one line's alone, so that what follows can be judged."""
        goes_on = self.message == "Unterminated string" or ("{" in self.text and "}" not in self.text)
        return self.beginning == self.line and not goes_on

    @property
    def key(self) -> str:
        """What stands before the equals sign."""
        pair = PAIR.match(self.text)
        return pair["key"] if pair else ""

    @property
    def value(self) -> str:
        """What stands behind the equals sign."""
        pair = PAIR.match(self.text)
        return pair["value"] if pair else ""


def explain_fault(fault: Fault) -> str:
    """Return what is wrong with a line and what would be right, in one sentence."""
    for applies, explanation in EXPLANATIONS:
        if applies(fault):
            return explanation(fault)
    return f"{fault.message[:1].lower()}{fault.message[1:]}; a line is `key = value` or `[section]`"


def _says(*starts: str) -> Callable[[Fault], bool]:
    return lambda fault: fault.message.startswith(starts)


def _unclosed(fault: Fault) -> str:
    opened = fault.lines[fault.beginning - 1].strip()
    where = f"of line {fault.beginning} (`{opened}`)" if fault.beginning != fault.line else "of this line"
    if "string" in fault.message or fault.message.startswith("Expected \"'"):
        return f"the text that begins on line {fault.beginning} (`{opened}`) has no closing quotation mark"
    bracket = "}" if "inline table" in fault.message else "]"
    return f"the list {where} lacks a comma between its items, or the closing `{bracket}`"


def _twice(fault: Fault) -> str:
    lines = locate("\n".join(fault.lines[: fault.line - 1]))
    own = list(locate("\n".join([_header_above(fault), fault.text.strip()])))
    earlier = [(path, lines[path]) for path in reversed(own) if path in lines]
    if not earlier:
        return "this key or section stands in the file already; keep one of them"
    path, line = earlier[0]
    return f"{spoken_path(path)} stands on line {line} already; keep one of them"


def _header_above(fault: Fault) -> str:
    above = (line for line in reversed(fault.lines[: fault.line - 1]) if line.lstrip().startswith("["))
    return "" if fault.is_header else next(above, "").strip()


def _quoted_header(fault: Fault) -> str:
    match = HEADER.match(fault.text)
    first, _, rest = (match["names"] if match else "").strip().partition(".")
    if "]" not in fault.text and BARE_KEY.fullmatch(first) and re.fullmatch(r"[\w.\"' -]*", rest):
        return "the closing `]` of the section's name is missing"
    name = rest.strip().strip("\"'")
    shown = f'[{first}."{name}"]' if name else f'["{first}"]'
    return f"a name with blanks or letters other than a-z, 0-9, _ and - needs quotation marks: `{shown}`"


def _missing_equals(fault: Fault) -> str:
    text = fault.text.strip()
    colon = re.match(r"([\w-]+)\s*:\s*(.*)", text)
    if colon:
        return f"a key and its value are joined by `=`: `{colon[1]} = {colon[2]}`"
    if fault.key:
        return f'a name with blanks needs quotation marks: `"{fault.key}" = {fault.value}`'
    return "a line is `key = value`, `[section]` or a `# comment`"


def _statement(fault: Fault) -> str:
    if fault.key and not BARE_KEY.fullmatch(fault.key):
        name = fault.key.strip("\"'")
        return f'a name with letters other than a-z, 0-9, _ and - needs quotation marks: `"{name}" = ...`'
    return "a line is `key = value`, `[section]` or a `# comment`"


def _value(fault: Fault) -> str:
    value, key = fault.value.rstrip(","), fault.key
    if value.casefold() in NOTHING:
        return f"`{key}` has no value; leave the whole line out if there is none"
    if value.casefold() in WORDS:
        return f"write `{key} = {WORDS[value.casefold()]}`, in small letters and without quotation marks"
    if re.fullmatch(r"[+-]?\.\d+", value):
        return f"a number needs a digit before its point: `{key} = {value.replace('.', '0.')}`"
    if re.match(r"[\[{]", value):
        return "text inside brackets needs quotation marks, each item its own"
    mark = "'" if "\\" in value or '"' in value else '"'
    bare = value.strip("\"'")
    return f"text needs quotation marks: `{key} = {mark}{bare}{mark}`"


def _trailing(fault: Fault) -> str:
    value, key = fault.value, fault.key
    if re.fullmatch(r"[+-]?\d+,\d+", value):
        return f"a number has a decimal point: `{key} = {value.replace(',', '.')}`"
    if re.fullmatch(r"0\d+", value):
        return f'a number has no leading zeros; an id or a code is text: `{key} = "{value}"`'
    if re.fullmatch(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}", value):
        return f"a date is written year-month-day: `{key} = 2015-02-28`; or the day does not exist"
    if value[:1] in ("'", '"'):
        other = "'" if value[0] == '"' else '"'
        return (
            f"the text ends at the second {value[0]} and something follows; "
            f"put text that holds {value[0]} between {other} and {other}"
        )
    if re.fullmatch(r"[+-]?\d+\.", value):
        return f"a number needs a digit after its point: `{key} = {value}0`"
    if re.match(r"[\w.-]", value):
        return f'text needs quotation marks: `{key} = "{value}"`'
    return "something follows where the line should end"


def _backslash(fault: Fault) -> str:
    return (
        'inside "..." a backslash begins an escape such as \\n; '
        f"put Windows paths between '...': `{fault.key} = '{_between_quotes(fault.value)}'`"
    )


def _between_quotes(value: str) -> str:
    return value.strip().strip("\"'")


def _straight(fault: Fault) -> str:
    straight = CURLY.sub('"', fault.text.strip())
    return f"curly quotation marks; TOML knows the straight ones only: `{straight}`"


def _no_closing_quote(_: Fault) -> str:
    return "the closing quotation mark is missing"


EXPLANATIONS: tuple[tuple[Callable[[Fault], bool], Callable[[Fault], str]], ...] = (
    (
        lambda f: (
            _says("Invalid value", "Expected '='", "Invalid statement")(f) and bool(CURLY.search(f.text))
        ),
        _straight,
    ),
    (_says("nested"), lambda _: "brackets inside brackets, too deep to read"),
    (_says("Invalid hex", "Unescaped '\\'", "Escaped character"), _backslash),
    (_says("Illegal character '\\n'", "Found invalid character '\\n'"), _no_closing_quote),
    (lambda f: f.beginning == f.line and _says('Expected "\'"')(f), _no_closing_quote),
    (_says("Illegal character", "Found invalid character"), lambda _: "a control character; take it out"),
    (lambda f: f.beginning != f.line and not f.message.startswith("Cannot"), _unclosed),
    (_says("Unclosed array", "Unclosed inline table", "Unterminated"), _unclosed),
    (_says("Cannot"), _twice),
    (_says("Invalid date"), lambda f: f"no such day or time: {f.value}"),
    (lambda f: f.is_header and _says("Expected ']'", "Invalid initial")(f), _quoted_header),
    (
        lambda f: "{" in f.text and _says("Invalid initial")(f),
        lambda _: "what stands between { and } must stand on one line, without a comma at the end",
    ),
    (_says("Expected '='"), _missing_equals),
    (_says("Invalid statement", "Invalid initial"), _statement),
    (_says("Invalid value"), _value),
    (_says("Expected newline"), _trailing),
)
