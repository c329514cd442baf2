"""DynamoDB's typed JSON into plain JSON as one piece of text, value by value only in the regex.

`plain_json` does the same from decoded values, and says what is wrong with them. Here one
expression makes sure that every value is of the usual shape, so that what is to be taken away can
be searched for as text.
"""

import re

_STRING = r'"[^"\\]*+"'
_NUMBER = r"-?(?:[1-9][0-9]{0,37}+(?:\.[0-9]{0,37}[1-9])?|0\.[0-9]{0,37}[1-9])|0"
_BINARY = r"(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
_is_usual = re.compile(
    rf"""(?:\{{"(?:S":{_STRING}|B":"{_BINARY}"|N":"(?:{_NUMBER})"|BOOL":(?:true|false)|NULL":true)\}}"""
    rf"""|\{{"M":\{{|\{{"L":\[|\]\}}|\}}\}}|{_STRING}:|,)*+"""
).fullmatch
_around_scalars = re.compile(
    r"""\{"(?:[SB]":(?=")|N":"|BOOL":)("[^"]*+"|[^"{}]++)"?\}"""  # the group is what is kept
).split
_OPENING_AND_CLOSING = (('{"L":[', "]}"), ('{"M":{', "}}"))


def plain_text(typed: str) -> str | None:
    """The plain JSON of one typed value, given as valid JSON; None where it must be decoded.

    That is so for what is not of the shape DynamoDB sends, and for escapes, sets, and numbers that
    are not in canonical form.

    A quote inside a string would be escaped, so that what begins with `{"` is never inside one.
    What closes lists and maps may be: then there is more of it than was opened.
    """
    if not _is_usual(typed):
        return None
    text = "".join(_around_scalars(typed))
    if '{"NULL"' in text:
        text = text.replace('{"NULL":true}', "null")
    for opening, closing in _OPENING_AND_CLOSING:
        count = text.count(opening)
        if count:
            if text.count(closing) != count:
                return None
            text = text.replace(opening, opening[-1]).replace(closing, closing[0])
    return text
