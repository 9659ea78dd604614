"""How texts are written whose characters are no characters."""

#: Texts that are no UTF-8 are written all the same.
LOOSE = ("utf-8", "surrogatepass")
