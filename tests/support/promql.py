"""Exactly the PromQL that our alerts are written in, evaluated over samples that a test makes up: so an alert can be tried.

As Prometheus does it, but for one thing: `rate` and `increase` do not extrapolate to the ends of their range, so they may come
out a little lower. What no alert uses is not understood, and `NotUnderstood` says so: an alert that uses more needs more here.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import promql_parser as promql

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector
LOOKBACK_S: Final = 300.0
"""How old the last sample of a series may be, at most, for the series to be there."""
_COMPARISONS: Final[dict[str, Callable[[float, float], bool]]] = {">": operator.gt, "==": operator.eq}
_AGGREGATIONS: Final[dict[str, Callable[[Iterable[float]], float]]] = {"sum": sum, "max": max}
_MATCHES: Final[dict[str, Callable[[str, str], bool]]] = {
    "MatchOp.Equal": operator.eq,
    "MatchOp.NotEqual": operator.ne,
    "MatchOp.Re": lambda pattern, value: re.fullmatch(pattern, value) is not None,
    "MatchOp.NotRe": lambda pattern, value: re.fullmatch(pattern, value) is None,
}


def _divide(dividend: float, divisor: float) -> float:
    """By zero too: 0 / 0 is no number, and compares with none."""
    if divisor:
        return dividend / divisor
    return math.copysign(math.inf, dividend) if dividend else math.nan


_ARITHMETIC: Final[dict[str, Callable[[float, float], float]]] = {"+": operator.add, "/": _divide}


class NotUnderstood(Exception):
    """The expression uses something that no alert has used so far."""


@dataclass(frozen=True, slots=True)
class Series:
    """Samples, the oldest first, each with its time in seconds."""

    name: str
    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float]]

    @property
    def identity(self) -> Labels:
        return frozenset(self.labels.items())


@dataclass(frozen=True, slots=True)
class Query:
    """An expression at one moment, over what was scraped until then."""

    series: Sequence[Series]
    now: float

    def ask(self, expression: str) -> Vector:
        value = self._value(promql.parse(expression))
        if isinstance(value, float):
            raise NotUnderstood(f"a number, and nothing that could fire: {expression}")
        return value

    def _value(self, node: Any) -> Value:
        match node:
            case promql.ParenExpr():
                return self._value(node.expr)
            case promql.NumberLiteral():
                return float(node.val)
            case promql.VectorSelector():
                return self._instant(node)
            case promql.Call():
                return self._call(node)
            case promql.AggregateExpr():
                return self._aggregate(node)
            case promql.BinaryExpr():
                return self._binary(node)
        raise NotUnderstood(type(node).__name__)

    def _vector(self, node: Any) -> Vector:
        value = self._value(node)
        if isinstance(value, float):
            raise NotUnderstood(f"a number where a vector is needed: {node.prettify()}")
        return value

    def _chosen(self, selector: Any, range_s: float) -> dict[Labels, list[tuple[float, float]]]:
        """The samples of the last `range_s` seconds of the series that the selector names; without those that have none."""
        if selector.offset is not None or selector.at is not None or selector.matchers.or_matchers:
            raise NotUnderstood(selector.prettify())
        found = (series for series in self.series if series.name == selector.name and _fits(series, selector))
        begin = self.now - range_s
        recent = {each.identity: [pair for pair in each.samples if begin < pair[0] <= self.now] for each in found}
        return {labels: samples for labels, samples in recent.items() if samples}

    def _instant(self, selector: Any) -> Vector:
        return {labels: samples[-1][1] for labels, samples in self._chosen(selector, LOOKBACK_S).items()}

    def _call(self, node: Any) -> Vector:
        (argument,) = node.args
        match node.func.name:
            case "absent" if isinstance(argument, promql.VectorSelector):
                return {} if self._instant(argument) else {_asked_for(argument): 1.0}
            case "increase" | "rate" as name if isinstance(argument, promql.MatrixSelector):
                range_s = argument.range.total_seconds()
                chosen = self._chosen(argument.vector_selector, range_s)
                over = range_s if name == "rate" else 1.0
                return {labels: _increase(samples) / over for labels, samples in chosen.items() if len(samples) > 1}
        raise NotUnderstood(node.prettify())

    def _aggregate(self, node: Any) -> Vector:
        by: list[str] = []
        if node.modifier is not None:
            if node.modifier.type != promql.AggModifierType.By:
                raise NotUnderstood(node.prettify())
            by = node.modifier.labels
        groups: dict[Labels, list[float]] = {}
        for labels, value in self._vector(node.expr).items():
            groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(value)
        aggregate = _known(_AGGREGATIONS, node)
        return {labels: aggregate(values) for labels, values in groups.items()}

    def _binary(self, node: Any) -> Vector:
        modifier, op = node.modifier, str(node.op)
        if modifier is not None and (modifier.matching or modifier.return_bool or modifier.group_labels):
            raise NotUnderstood(node.prettify())
        left, right = self._vector(node.lhs), self._value(node.rhs)
        if op == "or" and not isinstance(right, float):
            return right | left
        # Of two vectors, the samples whose labels are the same.
        others = dict.fromkeys(left, right) if isinstance(right, float) else right
        pairs = {labels: (value, others[labels]) for labels, value in left.items() if labels in others}
        if op in _COMPARISONS:
            return {labels: pair[0] for labels, pair in pairs.items() if _COMPARISONS[op](*pair)}
        calculate = _known(_ARITHMETIC, node)
        return {labels: calculate(*pair) for labels, pair in pairs.items()}


def _known(operations: Mapping[str, Callable[..., float]], node: Any) -> Callable[..., float]:
    if str(node.op) not in operations:
        raise NotUnderstood(node.prettify())
    return operations[str(node.op)]


def _fits(series: Series, selector: Any) -> bool:
    """A label that a series does not have is the empty word."""
    matchers = selector.matchers.matchers
    return all(_MATCHES[str(each.op)](each.value, series.labels.get(each.name, "")) for each in matchers)


def _asked_for(selector: Any) -> Labels:
    """What `absent` tells: the labels that were asked for by their value."""
    matchers = selector.matchers.matchers
    return frozenset((each.name, each.value) for each in matchers if each.op == promql.MatchOp.Equal)


def _increase(samples: Sequence[tuple[float, float]]) -> float:
    """A counter that fell has begun anew at 0."""
    return sum(later - earlier if later >= earlier else later for (_, earlier), (_, later) in pairwise(samples))
