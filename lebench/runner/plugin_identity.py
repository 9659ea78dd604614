"""What the code of plug-ins and of the session is, as part of the identity of what they compute."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from lebench import plugins, registry
from lebench.runner import session


def plugin_identity(wanted: Iterable[tuple[str, str]]) -> str:
    """Return a sha256 of the code behind what a cell needs that is not lebench's own, empty if there is none.

    Parameters
    ----------
    wanted : iterable of (str, str)
        Kind and name of each object. Those of plug-ins count by their plug-in's closure.

    Returns
    -------
    str
        Begins with :data:`lebench.runner.session.MARK` if something was defined in a script or notebook.
    """
    digests, here = set(), []
    for kind, name in sorted(set(wanted)):
        known = registry.of_kind(kind)
        item = known.item(name)
        module = item.plugin or item.target.split(":")[0]
        if item.digest:
            digests.add(item.digest)
        elif session.is_of_session(item):
            here.append(known.get(name))
        elif module.split(".")[0] != "lebench" and (plugin := plugins.of_module(module)) is not None:
            # That of the code that runs, where it was loaded.
            digests.add((plugins.as_loaded(plugin) or plugin).digest or plugins.digest(plugin))
    if here:
        digests.add(session.digest(here))
    several = hashlib.sha256("".join(sorted(digests)).encode()).hexdigest() if len(digests) > 1 else "".join(digests)
    return f"{session.MARK}{several}" if here else several
