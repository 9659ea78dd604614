"""How numbers are shown: as many digits as a reader can use, the same number in a column of bounded scores."""

from __future__ import annotations

import math

from markupsafe import Markup

_MINUS = "\N{MINUS SIGN}"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def show(value: float, bounded: bool, half: float = 0.0) -> Markup:
    """Return a value as HTML.

    Parameters
    ----------
    value : float
        Finite.
    bounded : bool
        Whether the metric has two finite bounds: three decimals then, otherwise three significant digits.
    half : float, default 0
        Half the width of its interval; the digits are those of this if it is larger than the value.

    Examples
    --------
    >>> show(0.98512, True)
    Markup('0.985')
    >>> show(-0.00031234, False)
    Markup('−3.12×10⁻⁴')
    >>> show(0.00956, False, 0.08824)
    Markup('0.0096')
    """
    return _fixed(value, *_scale(value, bounded, half))


def signed(value: float) -> Markup:
    """Return a difference as HTML, with its sign and three significant digits.

    Examples
    --------
    >>> signed(0.0123), signed(-2.0), signed(0.0)
    (Markup('+0.0123'), Markup('−2.00'), Markup('0.00'))
    """
    text = show(value, False)
    return Markup("+") + text if value > 0 else text


def interval(half: float, value: float, bounded: bool) -> Markup:
    r"""Return half the width of an interval as HTML, to the last digit that is shown of the value.

    Examples
    --------
    >>> interval(0.0041, 0.98512, True), interval(0.0001, 0.98512, True)
    (Markup('±\u202f0.004'), Markup('±\u202f&lt;\u202f0.001'))
    >>> interval(0.00009, 0.00031234, False)
    Markup('±\u202f0.90×10⁻⁴')
    """
    exponent, decimals = _scale(value, bounded, half)
    unit = 10.0 ** (exponent - decimals)
    less = Markup("&lt;\N{NARROW NO-BREAK SPACE}") if 0 < half < unit / 2 else ""
    return Markup("±\N{NARROW NO-BREAK SPACE}{}{}").format(less, _fixed(unit if less else half, exponent, decimals))


def exact(value: float) -> Markup:
    """Return a known value, with as many digits as tell it from another.

    Examples
    --------
    >>> exact(-1 / 3), exact(2.0)
    (Markup('−0.333333'), Markup('2'))
    """
    return Markup(f"{value:.6g}".replace("-", _MINUS))


def order(value: float) -> Markup:
    """Return a deviation or a tolerance as HTML, to one digit.

    Examples
    --------
    >>> order(5.55e-17), order(0.25), order(0.0)
    (Markup('6×10⁻¹⁷'), Markup('0.2'), Markup('0'))
    """
    if not value:
        return Markup("0")
    exponent = int(f"{value:.0e}".partition("e")[2])
    return Markup(f"{value:.1g}") if -3 <= exponent < 1 else _fixed(value, exponent, 0)


def _scale(value: float, bounded: bool, half: float) -> tuple[int, int]:
    """Return the power of ten that is split off, and the number of decimals that are left."""
    if bounded:
        return 0, 3
    size = max(abs(value), half)
    exponent = math.floor(math.log10(float(f"{size:.2e}"))) if size else 0
    return (0, max(2 - exponent, 0)) if -3 <= exponent < 4 else (exponent, 2)


def _fixed(value: float, exponent: int, decimals: int) -> Markup:
    text = f"{value / 10.0**exponent:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    power = "×10" + str(exponent).translate(_RAISED) if exponent else ""
    return Markup(text.replace("-", _MINUS) + power)


def seconds(value: float) -> str:
    """Return a duration.

    Examples
    --------
    >>> seconds(0.0123), seconds(8.31), seconds(125.0)
    ('12 ms', '8.3 s', '2 min 5 s')
    """
    if value < 0.9995:
        return f"{1000 * value:.0f} ms" if value >= 0.0005 else "< 1 ms"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"


def megabytes(value: float) -> str:
    """Return a memory size.

    Examples
    --------
    >>> megabytes(314_572_800)
    '315 MB'
    """
    return f"{value / 1e6:.0f} MB"
