"""Addresses of networks, hosts and interfaces, read as by PostgreSQL and without guessing. Pure."""

import ipaddress
import re

from replicator.core.values.cells import Unfit

_LENGTH_MAX = 49  # of an IPv6 address with an IPv4 tail and a prefix length
_is_address = re.compile(r"[0-9A-Fa-f.:]+(?:/(?:0|[1-9][0-9]{0,2}))?").fullmatch
_PAIR = "[0-9A-Fa-f]{2}"
_is_mac = re.compile(rf"{_PAIR}([:-]){_PAIR}(?:\1{_PAIR}){{4}}").fullmatch
_is_mac8 = re.compile(rf"{_PAIR}([:-]){_PAIR}(?:\1{_PAIR}){{6}}").fullmatch


def inet(text: str) -> str:
    """An address of a host, with the length of the network's prefix where given."""
    _require_form(text)
    try:
        ipaddress.ip_interface(text)
    except ValueError as error:
        raise Unfit("is not an address of IPv4 or IPv6") from error
    return text


def cidr(text: str) -> str:
    """An address of a network, with zero bits beyond the prefix."""
    _require_form(text)
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise Unfit("is not an address of a network, with zeros beyond its prefix") from error
    return text


def macaddr(text: str) -> str:
    """Six bytes in pairs of digits, separated by colons or hyphens."""
    if not _is_mac(text):
        raise Unfit("is not six pairs of hexadecimal digits, such as 08:00:2b:01:02:03")
    return text


def macaddr8(text: str) -> str:
    """Eight bytes; six would be made eight by PostgreSQL."""
    if not _is_mac8(text):
        raise Unfit("is not eight pairs of hexadecimal digits, such as 08:00:2b:01:02:03:04:05")
    return text


def _require_form(text: str) -> None:
    if len(text) > _LENGTH_MAX or not _is_address(text):
        raise Unfit("is not an address of IPv4 or IPv6")
