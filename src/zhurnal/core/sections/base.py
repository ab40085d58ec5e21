"""What all sections share: strict types, and parts named by a table or by a file of the user's own."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, Strict


def _whole(value: object) -> object:
    """Take 1e3 and 30.0 as the whole numbers they are."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> object:
    """Take a number where a text is wanted: a folder may be called 2024."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Int = Annotated[int, Strict(), BeforeValidator(_whole)]
Path = Annotated[str, Strict(), BeforeValidator(_text)]
Bool = Annotated[bool, Strict()]
Str = Annotated[str, Strict()]
Float = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Probability = Annotated[Float, Field(ge=0, lt=1)]

_OWN = re.compile(r"(?P<file>[^:]+\.py):(?P<name>[A-Za-z_]\w*)")


def is_own(name: str) -> bool:
    """Return whether `name` is a part of the user's own, such as `my_net.py:Net`."""
    return _OWN.fullmatch(name) is not None


def split_own(name: str) -> tuple[str, str]:
    """Return the file and the name in `my_net.py:Net`."""
    match = _OWN.fullmatch(name)
    assert match is not None
    return match["file"], match["name"]


class Section(BaseModel):
    """One section of the settings. Frozen; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    # Fields that belong to the section whichever part it names; the rest are the part's own options.
    common: ClassVar[frozenset[str]] = frozenset({"name"})
    # Options of every part of the section that are not given to the part's function; a change of part keeps them and says so.
    shared: ClassVar[frozenset[str]] = frozenset()

    def options(self) -> dict[str, Any]:
        """Return the options of the part that this section names, without the section's common and shared fields."""
        return {k: v for k, v in self.model_dump().items() if k not in self.common | self.shared}
