"""Configuration that users may give, declared once: described, checked and read by one object."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from savanna.plugin.v1.plugin_service_pb2 import ConfigOption

if TYPE_CHECKING:
    from savanna.common.v1.config_pb2 import ConfigValue

T = TypeVar("T")

NODE = ConfigOption.SCOPE_NODE
"""An option that may be set on clusters and on node groups; the node group's value wins."""

CLUSTER = ConfigOption.SCOPE_CLUSTER
"""An option that may be set on clusters only."""

_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Option(Generic[T]):
    """An option of any kind.

    Plugins declare its subclasses.     ``target`` is "general" or the name of a service of the
    plugin.
    """

    kind: ClassVar[ConfigOption.Type.ValueType] = ConfigOption.TYPE_UNSPECIFIED

    name: str
    default: T
    target: str = "general"
    scope: ConfigOption.Scope.ValueType = NODE
    description: str = ""
    is_optional: bool = True
    priority: int = 2

    def read(self, value: ConfigValue) -> T:
        """Give the value as Python has it.

        Raises ``ValueError`` with what is expected instead.
        """
        raise NotImplementedError

    def write(self, value: T) -> str:
        """Give a value as text, for descriptions and for configuration files."""
        return str(value)

    def describe(self) -> ConfigOption:
        """Describe the option to users."""
        return ConfigOption(
            name=self.name,
            applicable_target=self.target,
            scope=self.scope,
            type=self.kind,
            default_value=self.write(self.default),
            description=self.description,
            is_optional=self.is_optional,
            priority=self.priority,
        )


@dataclass(frozen=True, kw_only=True)
class TextOption(Option[str]):
    """Any text on one line; numbers and truth values are taken as their text.

    ``pattern`` is a regular expression that the whole text must match, ``expected`` says it in
    words.
    """

    kind = ConfigOption.TYPE_STRING

    pattern: str = ""
    expected: str = "another text"

    def read(self, value: ConfigValue) -> str:
        """Give the text."""
        text = as_text(value)
        if "\n" in text or "\0" in text:
            raise ValueError("expected one line of text")
        if self.pattern and not re.fullmatch(self.pattern, text):
            raise ValueError(f"expected {self.expected}")
        return text


@dataclass(frozen=True, kw_only=True)
class IntOption(Option[int]):
    """A whole number, also when it is written as text."""

    kind = ConfigOption.TYPE_INT

    least: int | None = None
    most: int | None = None

    def read(self, value: ConfigValue) -> int:
        """Give the number, once it is in bounds."""
        try:
            number = int(as_text(value))
        except ValueError:
            raise ValueError("expected a whole number") from None
        if self.least is not None and number < self.least:
            raise ValueError(f"expected {self.least} or more")
        if self.most is not None and number > self.most:
            raise ValueError(f"expected {self.most} or less")
        return number


@dataclass(frozen=True, kw_only=True)
class BoolOption(Option[bool]):
    """A truth value, also when it is written as text."""

    kind = ConfigOption.TYPE_BOOL

    def read(self, value: ConfigValue) -> bool:
        """Give the truth value."""
        truth = _TRUTHS.get(as_text(value).lower())
        if truth is None:
            raise ValueError("expected true or false")
        return truth

    def write(self, value: bool) -> str:
        """Give "true" or "false"."""
        return "true" if value else "false"


@dataclass(frozen=True, kw_only=True)
class ChoiceOption(Option[str]):
    """One of a few words."""

    kind = ConfigOption.TYPE_DROPDOWN

    choices: tuple[str, ...]

    def read(self, value: ConfigValue) -> str:
        """Give the word."""
        text = as_text(value)
        if text not in self.choices:
            raise ValueError(f"expected one of {', '.join(self.choices)}")
        return text

    def describe(self) -> ConfigOption:
        """Describe the option with its choices."""
        option = Option.describe(self)
        option.choices.extend(self.choices)
        return option


AnyOption = TextOption | IntOption | BoolOption | ChoiceOption


def as_text(value: ConfigValue) -> str:
    """Give a configuration value as text: "true" and "false" for truth values."""
    which = value.WhichOneof("value")
    if which == "flag":
        return "true" if value.flag else "false"
    if which == "number":
        return str(value.number)
    return value.text
