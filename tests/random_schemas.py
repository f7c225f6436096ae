"""Random JSON Schemas that have instances, and pydantic models of every shape."""

from __future__ import annotations

import random
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

from annotated_types import Ge, Le, MinLen
from pydantic import BaseModel, Field, StringConstraints


class RandomSchemas:
    """Draws schemas from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.rules: list[str] = []

    def document(self) -> dict[str, Any]:
        """A schema, recursive with some probability."""
        if self.random.random() < 0.35:
            self.rules = ["node", "other"]
        schema = self.schema(3)
        if self.rules:
            schema["$defs"] = {name: self.recursive(name) for name in self.rules}
        return schema

    def recursive(self, name: str) -> dict[str, Any]:
        """An object with a finite instance that may hold others of its kind."""
        again = {"$ref": f"#/$defs/{self.random.choice(self.rules)}"}
        shape = self.random.choice(["optional", "null", "list", "union", "map"])
        properties: dict[str, Any] = {"value": self.schema(0), "kind": {"const": name}}
        required = ["value"] if self.random.random() < 0.6 else []
        if shape == "optional":
            properties["next"] = again
        elif shape == "null":
            properties |= {side: {"anyOf": [again, {"type": "null"}]} for side in ("left", "right")}
            required.append("right")
        elif shape == "list":
            properties["kids"] = {"type": "array", "items": again}
            required.append("kids")
        elif shape == "union":
            properties["either"] = {"anyOf": [{"type": "integer"}, {"type": "string"}, again]}
        else:
            properties["map"] = {"type": "object", "additionalProperties": again}
        return self.object_of(properties, required)

    def object_of(self, properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
        schema = {"type": "object", "properties": properties, "required": required}
        if self.random.random() < 0.5:
            schema["additionalProperties"] = False
        return schema

    def schema(self, depth: int) -> dict[str, Any]:
        choose = self.random
        kinds = ["string", "string", "integer", "number", "boolean", "null", "enum", "const"]
        if depth:
            kinds += ["object"] * 5 + ["array", "array", "union", "union", "tuple", "map", "tagged"]
        if self.rules:
            kinds += ["ref", "ref"]
        schema: dict[str, Any] = getattr(self, f"a_{choose.choice(kinds)}")(depth)
        return schema

    def a_string(self, depth: int) -> dict[str, Any]:
        options: list[dict[str, Any]] = [
            {},
            {"minLength": 2, "maxLength": 6},
            {"maxLength": 3},
            {"minLength": 5},
            {"pattern": "^[A-Z]{2}-[0-9]+$"},
            {"pattern": "(é|日本)+", "maxLength": 9},
            {"format": self.random.choice(["date", "date-time", "uuid", "time", "ipv4", "email"])},
        ]
        return {"type": "string", **self.random.choice(options)}

    def a_integer(self, depth: int) -> dict[str, Any]:
        low = self.random.randint(-2000, 200)
        options: list[dict[str, Any]] = [
            {},
            {"minimum": low},
            {"minimum": low, "maximum": low + self.random.randint(0, 3000)},
            {"exclusiveMaximum": low},
            {"minimum": 0, "multipleOf": 7},
        ]
        return {"type": "integer", **self.random.choice(options)}

    def a_number(self, depth: int) -> dict[str, Any]:
        options: list[dict[str, Any]] = [{}, {"minimum": -1.5, "maximum": 12.25}, {"minimum": 0}]
        return {"type": "number", **self.random.choice(options)}

    def a_boolean(self, depth: int) -> dict[str, Any]:
        return {"type": "boolean"}

    def a_null(self, depth: int) -> dict[str, Any]:
        return {"type": "null"}

    def a_enum(self, depth: int) -> dict[str, Any]:
        values = ["red", "green", "é\n", "", 1, -2.5, None, True, [1], {"a": 1}, "reddish"]
        return {"enum": self.random.sample(values, self.random.randint(1, 5))}

    def a_const(self, depth: int) -> dict[str, Any]:
        return {"const": self.random.choice(["x", 0, None, {"k": [True]}, []])}

    def a_object(self, depth: int) -> dict[str, Any]:
        names = ["name", "kind", "a b", "é", "n1", 'quote"d', "age", "x"]
        names = self.random.sample(names, self.random.randint(0, 5))
        properties = {name: self.schema(depth - 1) for name in names}
        required = [name for name in names if self.random.random() < 0.5]
        schema = self.object_of(properties, required)
        if self.random.random() < 0.15:
            schema["additionalProperties"] = {"type": "integer"}
        if len(names) > 2 and self.random.random() < 0.2:
            least = max(1, len(required))
            schema |= {"minProperties": least, "maxProperties": least + 1}
        return schema

    def a_array(self, depth: int) -> dict[str, Any]:
        least = self.random.choice([0, 0, 1, 2])
        schema: dict[str, Any] = {"type": "array", "items": self.schema(depth - 1)}
        if least or self.random.random() < 0.3:
            schema["minItems"] = least
        if self.random.random() < 0.4:
            schema["maxItems"] = least + self.random.randint(0, 3)
        return schema

    def a_tuple(self, depth: int) -> dict[str, Any]:
        items = [self.schema(depth - 1) for _ in range(self.random.randint(1, 3))]
        least = self.random.randint(0, len(items))
        return {"type": "array", "prefixItems": items, "items": False, "minItems": least}

    def a_union(self, depth: int) -> dict[str, Any]:
        return {"anyOf": [self.schema(depth - 1) for _ in range(self.random.randint(2, 3))]}

    def a_tagged(self, depth: int) -> dict[str, Any]:
        members = []
        for tag in self.random.sample(["cat", "catfish", "dog", "d"], self.random.randint(2, 4)):
            properties = {"kind": {"const": tag}, f"of_{tag}": self.schema(depth - 1)}
            members.append(self.object_of(properties, ["kind"]))
        return {"oneOf": members}

    def a_map(self, depth: int) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self.schema(depth - 1)}

    def a_ref(self, depth: int) -> dict[str, Any]:
        return {"$ref": f"#/$defs/{self.random.choice(self.rules)}"}


class Colour(Enum):
    RED = "red"
    REDDISH = "reddish"
    SEVEN = 7


class Point(BaseModel):
    x: float
    y: Annotated[float, Field(ge=-1, le=1)] = 0.0


class Tree(BaseModel):
    value: int
    left: Tree | None = None
    kids: list[Tree] = []


class Chain(BaseModel):
    value: str
    next: Chain | None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Ge(0), Le(9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: str
    friends: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []


class Zoo(BaseModel):
    star: Annotated[Cat | Dog, Field(discriminator="kind")]
    pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]]
    spare: Cat | Dog | None = None
    keeper: str | Point | None = None


class Event(BaseModel):
    at: datetime
    day: date | None
    clock: time | None = None
    id: UUID
    price: Decimal
    length: timedelta


class Strings(BaseModel):
    code: Annotated[str, StringConstraints(pattern=r"^[a-z]{3}\d{2}$")]
    short: Annotated[str, StringConstraints(min_length=1, max_length=4)]
    tags: Annotated[list[str], MinLen(1)]
    colour: Colour
    answer: Literal["yes", "no", 3, None]


class Loose(BaseModel):
    maybe: int | None = None
    flag: bool = False
    pair: tuple[int, str]
    scores: dict[str, float]
    matrix: list[list[int]] = []
    anything: Any = None


class Order(BaseModel):
    lines: Annotated[list[Point], MinLen(2)]
    shipping: Point | None
    billing: Point | None = None
    note: str = ""
    loose: Loose | None = None


class Nothing(BaseModel):
    pass


class Optionals(BaseModel):
    a: Literal["only"] = "only"
    b: Nothing = Nothing()
    c: list[int] = []
    d: Colour | list[str] | None = None
    e: Chain | None = None


TYPES: list[Any] = [
    Point,
    Tree,
    Chain,
    Zoo,
    Event,
    Strings,
    Loose,
    Order,
    Nothing,
    Optionals,
    Colour,
    list[Tree],
    dict[str, Point],
    Tree | Chain | None,
    int | str | list[bool],
    Literal["one"],
]
