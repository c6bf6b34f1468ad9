"""Reading grammars: lines of phrases with slots, and files in the JSpeech Grammar Format (W3C Note of 5 June 2000).

Of JSGF everything is read that is finite: rules, alternatives, groups, optional parts, quoted words, comments, <NULL>
and <VOID>. Weights and tags are checked and left out. Repetition, recursion and imports are refused.
"""

import re
from typing import NamedTuple

from ...errors import DataError
from .grammar import Choice, Node, Place, Reference, Series, Words, sentences
from .keywords import shorten

HEADER = "#JSGF"
MAX_DEPTH = 50  # groups within groups

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
      | (?P<rule><[^<>\s]+>)
      | (?P<quoted>"[^"\n]*")
      | (?P<tag>\{(?:[^{}\\]|\\.)*\})
      | (?P<weight>/\s*[0-9.eE+-]+\s*/)
      | (?P<mark>[;=|*+()\[\]])
      | (?P<word>[^\s;=|*+<>()\[\]{}/"\\]+)""",
    re.VERBOSE | re.DOTALL,
)
_SLOTS = re.compile(r"[()\[\]|]")
_PHONES = re.compile(r"/[^/]*/")
_CLOSING = {"(": ")", "[": "]"}


class Token(NamedTuple):
    """A piece of the text; `kind` is a group of the pattern, "end" behind the last."""

    kind: str
    text: str
    place: Place


def read_phrase(text: str, source: str, line: int = 1, column: int = 1) -> list[str]:
    """The sentences of a phrase with slots.

    Args:
        text: `turn [the] light (on | off)`, say; a phrase with phones between slashes is left as it is.
        source: what it is called in messages, with `line` and `column` of its first character.

    Raises:
        DataError: it cannot be read.
    """
    if not _SLOTS.search(_PHONES.sub("", text)):
        return [text]
    parser = _Parser(_tokens(text, source, line, column))
    root = parser.alternatives(0)
    parser.expect("end")
    return sentences(root, {}, f"{source}: line {line}")


def read_jsgf(text: str, source: str) -> list[str]:
    """The sentences of all public rules.

    Args:
        text: the file, which begins with `#JSGF`.
        source: what it is called in messages.

    Raises:
        DataError: a syntax error (with line and column), a rule that is missing, given twice or recursive, no public
            one, or too many sentences.
    """
    header, end, body = text.partition(";")
    if not end or not re.fullmatch(r"#JSGF\s+V1\.0(\s+\S+){0,2}\s*", header):
        raise Place(source, 1, 1).error("expected the header #JSGF V1.0;")
    lines = header.split("\n")
    parser = _Parser(_tokens(body, source, len(lines), len(lines[-1]) + 2))
    rules, public = parser.file()
    if not public:
        raise DataError(f"{source}: no rule is public: write public <name> = … ;")
    return sentences(Choice(tuple(public)), rules, source)


class _Parser:
    """Recursive descent over tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0

    @property
    def token(self) -> Token:
        return self._tokens[self._next]

    def take(self) -> Token:
        token = self.token
        self._next += token.kind != "end"
        return token

    def expect(self, wanted: str) -> Token:
        """The next token, whose kind or text is `wanted`."""
        token = self.token
        if wanted not in (token.kind, token.text):
            raise token.place.error(f"expected {_named(wanted)}, found {_named(token.text or 'end')}")
        return self.take()

    def file(self) -> tuple[dict[str, Node], list[Reference]]:
        """Everything behind the header: the rules, and references to the public ones."""
        if self.token.text == "grammar":
            self.take()
            self.expect("word")
            self.expect(";")
        rules: dict[str, Node] = {}
        public = []
        while self.token.kind != "end":
            if self.token.text == "import":
                raise self.token.place.error("imports cannot be had: put the rules into this file")
            if is_public := self.token.text == "public":
                self.take()
            name = self.expect("rule")
            rule = name.text[1:-1]
            if rule in rules or rule in ("NULL", "VOID"):
                raise name.place.error(f"rule <{rule[:40]}> is given twice")
            self.expect("=")
            rules[rule] = self.alternatives(0)
            self.expect(";")
            if is_public:
                public.append(Reference(rule, name.place))
        return rules, public

    def alternatives(self, depth: int) -> Node:
        """Series between bars."""
        if depth > MAX_DEPTH:
            raise self.token.place.error(f"groups within groups, {MAX_DEPTH} deep: use rules")
        ways = [self._series(depth)]
        while self.token.text == "|":
            self.take()
            ways.append(self._series(depth))
        return ways[0] if len(ways) == 1 else Choice(tuple(ways))

    def _series(self, depth: int) -> Node:
        if self.token.kind == "weight":
            self.take()
        parts: list[Node] = []
        begin = self.token
        while (part := self._part(depth)) is not None:
            parts.append(part)
        if not parts:
            raise begin.place.error(f"expected a word, found {_named(begin.text or 'end')}")
        return Series(tuple(parts))

    def _part(self, depth: int) -> Node | None:
        token = self.token
        node: Node
        if token.kind == "rule":
            self.take()
            name = token.text[1:-1]
            fixed: dict[str, Node] = {"NULL": Series(()), "VOID": Choice(())}
            node = fixed.get(name) or Reference(name, token.place)
        elif token.kind in ("word", "quoted"):
            self.take()
            node = Words(token.text.strip('"'))
        elif token.kind == "mark" and token.text in _CLOSING:
            self.take()
            node = self.alternatives(depth + 1)
            self.expect(_CLOSING[token.text])
            if token.text == "[":
                node = Choice((node, Series(())))
        elif token.kind == "weight":
            raise token.place.error("a weight stands before an alternative, not within it")
        else:
            return None
        if self.token.kind == "mark" and self.token.text in "*+":
            raise self.token.place.error(
                f"{self.token.text} is without end: write out how often it may be said"
            )
        while self.token.kind == "tag":
            self.take()
        return node


def _tokens(text: str, source: str, line: int, column: int) -> list[Token]:
    """The tokens of `text`, which begins at this line and column, and one for its end."""
    tokens = []
    at = 0
    while at < len(text):
        place = Place(source, line, column)
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise place.error(f"unexpected {text[at]!r}")
        if match.lastgroup != "space":
            tokens.append(Token(match.lastgroup, match.group(), place))
        at = match.end()
        breaks = match.group().count("\n")
        line += breaks
        column = len(match.group().rpartition("\n")[2]) + (1 if breaks else column)
    return [*tokens, Token("end", "", Place(source, line, column))]


def _named(text: str) -> str:
    kinds = {"end": "the end", "rule": "a <rule>", "word": "a name"}
    return kinds.get(text, shorten(text))
