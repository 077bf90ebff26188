"""The Condition element of IAM policies: operators over the values of a request. Pure; standard library only.

Pages named here are those of docs.aws.amazon.com/IAM/latest/UserGuide.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

#: A request's condition keys, in lower case, each with its values; a key that the request lacks is absent.
Context = Mapping[str, tuple[str, ...]]
#: ``*`` and ``?`` of a pattern after its variables are filled in; those in a variable's value are plain text.
_ANY, _ONE = "\ue000", "\ue001"
_VARIABLE = re.compile(r"\$\{\s*(?:([*?$])|([^,}]+?)\s*(?:,\s*'([^']*)'\s*)?)\}")


class UnknownRule(Exception):
    """A policy uses what this evaluator has no rule for. It never leads to an allow."""


class NoValue(Exception):
    """A policy variable names a key that the request lacks: nothing matches it (reference_policies_variables)."""


@dataclass(frozen=True)
class Facts:
    """The condition keys of a request.

    Attributes:
        context: the condition keys that it has.
        known: whether a key is modelled, so that its absence means that AWS's request lacks it as well.
        variables: whether policy variables are filled in: if the document's Version is 2012-10-17
            (reference_policies_elements_version).
    """

    context: Context
    known: Callable[[str], bool]
    variables: bool = True

    def values(self, key: str) -> tuple[str, ...]:
        """The values of a condition key, none if the request lacks it; case does not matter, also in tag keys.

        Raises:
            UnknownRule: it is not known whether AWS's request would have it.
        """
        found = self.context.get(key.lower())
        if found is None and not self.known(key.lower()):
            raise UnknownRule(f"the condition key {key} is not modelled for this request")
        return found or ()

    def filled(self, text: str) -> str:
        """A policy's text with its variables filled in and its wildcards marked (reference_policies_variables).

        Raises:
            NoValue, UnknownRule: a variable has no value, or more than one.
        """
        if not self.variables:
            return _marked(text)
        parts, end = [], 0
        for found in _VARIABLE.finditer(text):
            parts += [_marked(text[end : found.start()]), found[1] or self._variable(found[2], found[3])]
            end = found.end()
        return "".join([*parts, _marked(text[end:])])

    def _variable(self, key: str, default: str | None) -> str:
        values = self.values(key)
        if len(values) > 1 or any(mark in values[0] for mark in (_ANY, _ONE) if values):
            raise UnknownRule(
                f"the policy variable ${{{key}}} has several values, or one with characters that IAM does not know"
            )
        if not values and default is None:
            raise NoValue(key)
        return values[0] if values else str(default)


def _marked(text: str) -> str:
    return text.replace("*", _ANY).replace("?", _ONE)


def _plain(filled: str) -> str:
    return filled.replace(_ANY, "*").replace(_ONE, "?")


def matches(filled: str, text: str) -> bool:
    """Whether a text matches a pattern: ``*`` any characters, ``?`` one (reference_policies_elements_resource)."""
    return _expression(filled).fullmatch(text) is not None


@lru_cache(maxsize=4096)
def _expression(filled: str) -> re.Pattern[str]:
    parts = (".*" if c == _ANY else "." if c == _ONE else re.escape(c) for c in re.sub(f"{_ANY}+", _ANY, filled))
    return re.compile("".join(parts), re.DOTALL)


def arn_matches(filled: str, arn: str) -> bool:
    """Whether an ARN matches a pattern: each of its six parts by itself; parts that the pattern lacks match anything.

    reference_policies_elements_resource, reference_policies_elements_condition_operators (ArnLike).
    """
    if filled == _ANY:
        return True
    expected, given = filled.split(":", 5), arn.split(":", 5)
    expected += [_ANY] * (6 - len(expected))
    return len(given) == 6 and all(matches(want, part) for want, part in zip(expected, given, strict=True))


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda expected, given: compare(float(given), float(_plain(expected)))


def _date(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda expected, given: compare(_seconds(given), _seconds(_plain(expected)))


def _seconds(text: str) -> float:
    """A date as seconds since the epoch: W3C's ISO 8601 or a number."""
    if re.fullmatch(r"\d+(\.\d+)?", text) and len(text) > 4:  # four digits are a year
        return float(text)
    moment = datetime.fromisoformat(text.replace("Z", "+00:00") if len(text) > 4 else f"{text}-01-01")
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _binary(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _in_network(expected: str, given: str) -> bool:
    return ipaddress.ip_address(given) in ipaddress.ip_network(_plain(expected), strict=False)


#: Each operator's test of one expected and one given value (reference_policies_elements_condition_operators).
_TESTS: dict[str, Callable[[str, str], bool]] = {
    "stringequals": lambda expected, given: _plain(expected) == given,
    "stringequalsignorecase": lambda expected, given: _plain(expected).casefold() == given.casefold(),
    "stringlike": matches,
    "numericequals": _number(lambda given, expected: given == expected),
    "numericlessthan": _number(lambda given, expected: given < expected),
    "numericlessthanequals": _number(lambda given, expected: given <= expected),
    "numericgreaterthan": _number(lambda given, expected: given > expected),
    "numericgreaterthanequals": _number(lambda given, expected: given >= expected),
    "dateequals": _date(lambda given, expected: given == expected),
    "datelessthan": _date(lambda given, expected: given < expected),
    "datelessthanequals": _date(lambda given, expected: given <= expected),
    "dategreaterthan": _date(lambda given, expected: given > expected),
    "dategreaterthanequals": _date(lambda given, expected: given >= expected),
    "bool": lambda expected, given: _plain(expected).lower() == given.lower(),
    "binaryequals": lambda expected, given: _binary(_plain(expected)) == _binary(given),
    "ipaddress": _in_network,
    "arnequals": arn_matches,  # AWS: "ArnEquals and ArnLike behave identically"
    "arnlike": arn_matches,
}
#: The operators that are another's negation.
_NEGATIONS = {
    "stringnotequals": "stringequals",
    "stringnotequalsignorecase": "stringequalsignorecase",
    "stringnotlike": "stringlike",
    "numericnotequals": "numericequals",
    "datenotequals": "dateequals",
    "notipaddress": "ipaddress",
    "arnnotequals": "arnequals",
    "arnnotlike": "arnlike",
}


def holds(operator: str, key: str, expected: list[str], facts: Facts) -> bool:
    """Whether one line of a Condition is true for a request.

    reference_policies_elements_condition_operators; for ``ForAllValues`` and ``ForAnyValue``
    reference_policies_condition-single-vs-multi-valued-context-keys.

    Raises:
        UnknownRule: there is no rule for the operator, the key or a value.
    """
    quantifier, _, name = operator.lower().rpartition(":")
    if quantifier not in ("", "forallvalues", "foranyvalue"):
        raise UnknownRule(f"the condition operator {operator} is not modelled")
    given = facts.values(key)
    if name == "null" and not quantifier:
        return any((value.lower() == "true") == (not given) for value in expected)
    if_exists, name = name.endswith("ifexists"), name.removesuffix("ifexists")
    negated = name in _NEGATIONS
    test = _TESTS.get(_NEGATIONS.get(name, name))
    if test is None:
        raise UnknownRule(f"the condition operator {operator} is not modelled")
    if not given:
        if if_exists and quantifier == "foranyvalue":
            raise UnknownRule(f"{operator} of an absent key: AWS's pages do not say which half counts")
        return quantifier == "forallvalues" or if_exists or (negated and not quantifier)
    if len(given) > 1 and not quantifier:
        raise UnknownRule(f"{operator} meets several values of {key}")
    try:
        answers = [any(_meets(test, value, one, facts) for value in expected) != negated for one in given]
    except ValueError as problem:
        raise UnknownRule(f"{operator} of {key} cannot be compared: {problem}") from problem
    return any(answers) if quantifier == "foranyvalue" else all(answers)


def _meets(test: Callable[[str, str], bool], expected: str, given: str, facts: Facts) -> bool:
    try:
        return test(facts.filled(expected), given)
    except NoValue:
        return False
