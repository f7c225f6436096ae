r"""The formats of JSON Schema as their own standards have them, RFC by RFC.

Departures: leap seconds are those of 23:59:60 UTC written in UTC; an internationalised host name is
checked for its characters, not against the tables of IDNA; a regular expression nests its groups at
most three deep and has no Unicode property classes.
"""

from __future__ import annotations

from functools import cache

from ctrlgen.constraints.formats import CLOCK, IPV4, dates
from ctrlgen.constraints.json_text import canonical_range
from ctrlgen.constraints.nodes import And, Node, Not, Repeat
from ctrlgen.constraints.regex import lower_regex

# RFC 3339, section 5.6
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_DATE = dates("[0-9]{4}", _LEAP)
_PART = r"(?:\.[0-9]+)?"
_TIME = rf"(?:{CLOCK}:[0-5][0-9]{_PART}(?:[Zz]|[+-]{CLOCK})|23:59:60{_PART}(?:[Zz]|[+-]00:00))"

# RFC 3339, appendix A
_MINUTES = "[0-9]+M(?:[0-9]+S)?"
_CLOCK_PART = f"T(?:[0-9]+H(?:{_MINUTES})?|{_MINUTES}|[0-9]+S)"
_MONTHS = "[0-9]+M(?:[0-9]+D)?"
_DAY_PART = f"(?:[0-9]+Y(?:{_MONTHS})?|{_MONTHS}|[0-9]+D)"
_DURATION = f"P(?:{_DAY_PART}(?:{_CLOCK_PART})?|{_CLOCK_PART}|[0-9]+W)"

# RFC 4291
_GROUP = "[0-9A-Fa-f]{1,4}"


def _ipv6() -> str:
    """Eight groups, the last two perhaps as IPv4, or fewer around one `::`."""
    last = f"(?:{_GROUP}:{_GROUP}|{IPV4})"
    forms = [f"(?:{_GROUP}:){{6}}{last}"]
    for before in range(8):
        head = f"(?:{_GROUP}(?::{_GROUP}){{{before - 1}}})" if before else ""
        after = 7 - before
        tails = []
        if after >= 2:
            tails.append(f"(?:{_GROUP}:){{0,{after - 2}}}{last}")
        if after >= 1:
            tails.append(_GROUP)
        tail = f"(?:{'|'.join(tails)})?" if tails else ""
        forms.append(f"{head}::{tail}")
    return f"(?:{'|'.join(forms)})"


# RFC 3986 and, with more characters, RFC 3987
_MORE = "\\u00A0-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFEF" + "".join(
    f"\\U000{plane:X}0000-\\U000{plane:X}FFFD" for plane in range(1, 15)
)


def _uri(more: str) -> tuple[str, str]:
    """Patterns of a URI and of a relative reference."""
    escape = "%[0-9A-Fa-f]{2}"
    unreserved = rf"A-Za-z0-9\-._~{more}"
    sub = "!$&'()*+,;="
    char = rf"(?:[{unreserved}{sub}:@]|{escape})"
    first = rf"(?:[{unreserved}{sub}@]|{escape})"  # of a relative path: no colon
    segments = f"(?:/{char}*)*"
    literal = rf"\[(?:{_ipv6()}|[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~{sub}:]+)\]"
    host = rf"(?:{literal}|(?:[{unreserved}{sub}]|{escape})*)"
    user = rf"(?:(?:[{unreserved}{sub}:]|{escape})*@)?"
    authority = f"//{user}{host}(?::[0-9]*)?{segments}"
    absolute = f"/(?:{char}+{segments})?"
    rest = rf"(?:\?(?:{char}|[/?])*)?(?:#(?:{char}|[/?])*)?"
    scheme = r"[A-Za-z][A-Za-z0-9+\-.]*"
    uri = f"{scheme}:(?:{authority}|{absolute}|{char}+{segments}|){rest}"
    relative = f"(?:{authority}|{absolute}|{first}+{segments}|){rest}"
    return uri, f"(?:{uri}|{relative})"


# RFC 1123, RFC 5890 and RFC 5321
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*"
_WIDE = (
    "A-Za-z0-9\\u00B7\\u00DF-\\u02AF\\u0370-\\u07FF\\u0900-\\u1FFF\\u3005-\\uD7FF"
    "\\U00020000-\\U0003FFFF"
)
_WIDE_LABEL = f"[{_WIDE}](?:[{_WIDE}-]{{0,61}}[{_WIDE}])?"
_WIDE_HOST = rf"{_WIDE_LABEL}(?:[.\u3002\uFF0E\uFF61]{_WIDE_LABEL})*"
_ATEXT = "A-Za-z0-9!#$%&'*+/=?^_`{|}~-"


def _email(more: str, host: str) -> str:
    atom = f"[{_ATEXT}{more}]+"
    quoted = rf'"(?:[ !#-\[\]-~{more}]|\\[ -~])*"'
    literal = rf"\[(?:{IPV4}|IPv6:{_ipv6()})\]"
    return rf"(?:{atom}(?:\.{atom})*|{quoted})@(?:{host}|{literal})"


# RFC 6901, RFC 6570
_TOKENS = "(?:/(?:[^/~]|~[01])*)*"
_NAME = r"(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2})(?:\.?(?:[A-Za-z0-9_]|%[0-9A-Fa-f]{2}))*"
_SPEC = rf"{_NAME}(?::[1-9][0-9]{{0,3}}|\*)?"
_EXPRESSION = rf"\{{[+#./;?&=,!@|]?{_SPEC}(?:,{_SPEC})*\}}"
_LITERAL = rf"[!#$&(-;=?-\[\]_a-z~{_MORE}]|%[0-9A-Fa-f]{{2}}"


def _regex(depth: int = 3) -> str:
    """Regular expressions of ECMA-262, with so many groups inside each other."""
    escape = r"\\(?:[dDwWsSbBfnrtv0^$\\.*+?()\[\]{}|/\-]|c[A-Za-z]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})"
    member = rf"(?:[^\]\\]|{escape})"
    atom = rf"(?:[^\\^$.*+?()\[\]{{}}|]|\.|{escape}|\[\^?{member}*\])"
    count = r"(?:[*+?]|\{[0-9]{1,3}(?:,(?:[0-9]{4})?)?\})\??"
    inner = rf"(?:(?:{atom}(?:{count})?|[\^$])*)"
    for _ in range(depth):
        body = rf"{inner}(?:\|{inner})*"
        group = rf"\((?:\?[:=!])?{body}\)"
        inner = rf"(?:(?:(?:{atom}|{group})(?:{count})?|[\^$])*)"
    return rf"{inner}(?:\|{inner})*"


_URI, _URI_REFERENCE = _uri("")
_IRI, _IRI_REFERENCE = _uri(_MORE)
_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}[Tt]{_TIME}",
    "duration": _DURATION,
    "uuid": "[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}",
    "ipv4": IPV4,
    "ipv6": _ipv6(),
    "uri": _URI,
    "uri-reference": _URI_REFERENCE,
    "iri": _IRI,
    "iri-reference": _IRI_REFERENCE,
    "uri-template": rf"(?:{_LITERAL}|{_EXPRESSION})*",
    "email": _email("", _HOST),
    "idn-email": _email(_MORE, _WIDE_HOST),
    "json-pointer": _TOKENS,
    "relative-json-pointer": rf"(?:0|[1-9][0-9]*)(?:#|{_TOKENS})",
    "regex": _regex(),
}
STANDARD = frozenset((*_PATTERNS, "hostname", "idn-hostname"))


@cache
def standard_format(name: str) -> Node | None:
    """The canonical spellings of the strings of a format; None for one that JSON Schema lacks."""
    if name in ("hostname", "idn-hostname"):
        host = lower_regex(_HOST if name == "hostname" else _WIDE_HOST, encoder=canonical_range)
        any_one = canonical_range(0, 0x10FFFF)
        return And((host, Not(Repeat(any_one, 254))))
    if name in _PATTERNS:
        return lower_regex(_PATTERNS[name], encoder=canonical_range)
    return None
