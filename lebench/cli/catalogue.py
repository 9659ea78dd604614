"""``lebench list`` and ``lebench info``: what is registered, as text or JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from lebench import registry
from lebench.errors import UnavailableDataError, UnknownNameError, install_hint

_WIDTH = 100
#: What is listed as if it were a kind: earlier names, beside those of today.
ALIASES = "aliases"


def listing(kind: str, *, as_json: bool = False) -> str:
    """Return the names of a kind with their summaries; nothing is imported."""
    if kind == ALIASES:
        return _aliases(as_json=as_json)
    items = registry.REGISTRIES[kind.removesuffix("s")].items()
    if as_json:
        shown = ("name", "summary", "tags", "source", "aliases")
        return json.dumps([{name: getattr(item, name) for name in shown} for item in items], indent=1)
    width = max((len(item.name) for item in items), default=0)
    lines = []
    for item in items:
        origin = "" if item.source == "lebench" else f"(from {item.source})"
        tags = f"[{', '.join(item.tags)}]" if item.tags else ""
        lines.append("  ".join(part for part in (item.name.ljust(width), item.summary, tags, origin) if part))
    return "\n".join(lines)


def _aliases(*, as_json: bool) -> str:
    found = {kind: known.aliases() for kind, known in registry.REGISTRIES.items()}
    if as_json:
        return json.dumps(found, indent=1)
    pairs = sorted(pair for known in found.values() for pair in known.items())
    width = max((len(old) for old, _ in pairs), default=0)
    return "\n".join(f"{old.ljust(width)}  {new}" for old, new in pairs)


def description(name: str, *, as_json: bool = False) -> str:
    """Return everything that is declared of a name.

    Raises
    ------
    UnknownNameError
        If no registry knows it.
    """
    bare, kinds = _kinds(name)
    parts = []
    for kind in kinds:
        item = registry.REGISTRIES[kind].item(bare)
        values = {"name": item.name, "kind": kind, "source": item.source, "summary": item.summary}
        parts.append(values | {"earlier names": list(item.aliases)} | _DETAILS[kind](item.name))
    if as_json:
        return json.dumps(parts if len(parts) > 1 else parts[0], indent=1, default=str)
    return "\n\n".join("\n".join(_text(values)) for values in parts)


def versions(name: str, *, as_json: bool = False) -> str:
    """Return the version of a name, what it rests on, and what raised it when.

    Raises
    ------
    UnknownNameError
        If no registry knows it.
    """
    bare, kinds = _kinds(name)
    found = [_versioned(kind, bare) for kind in kinds]
    if as_json:
        return json.dumps(found if len(found) > 1 else found[0], indent=1)
    lines = []
    for each in found:
        lines.append(f"{each['name']} ({each['kind']}): version {each['version']}")
        lines += [f"  {change['version']}  {change['date']}  {change['what']}" for change in each["history"]]
        if not each["history"]:
            lines.append("  its numbers have not changed since versions began")
        lines += [f"  rests on {other}, version {version}" for other, version in each["rests on"].items()]
    return "\n".join(lines)


def _kinds(name: str) -> tuple[str, list[str]]:
    """Return a name without parameters, and the kinds of what has it."""
    # A parameter list after the name, as on the command line of run, does no harm.
    bare = name.split("[", 1)[0]
    kinds = [kind for kind, known in registry.REGISTRIES.items() if bare in known]
    if not kinds:
        known = [item.name for kind in registry.REGISTRIES.values() for item in kind.items()]
        hint = registry.did_you_mean(bare, known) or "see 'lebench list --help'"
        raise UnknownNameError(f"nothing is registered under {bare!r}; {registry.with_plugin(hint, 'a name')}")
    return bare, kinds


def _versioned(kind: str, name: str) -> dict[str, Any]:
    """Return the version of a registered object and what raised it; a task or dataset has it in its declaration."""
    known = registry.REGISTRIES[kind]
    declared: Any = known.get(name) if kind in ("task", "dataset") else known.item(name)
    rests: dict[str, int] = {}
    if kind == "task":
        rests[declared.dataset] = registry.datasets.get(declared.dataset).version
        rests |= {model: registry.models.item(model).version for model in declared.references}
    else:
        # An object that is not loaded yet has only its version.
        known.get(name)
        declared = known.item(name) if kind != "dataset" else declared
    history = [change._asdict() for change in getattr(declared, "history", ())]
    return {
        "name": known.item(name).name,
        "kind": kind,
        "version": declared.version,
        "history": history,
        "rests on": rests,
    }


def _question(name: str) -> dict[str, Any]:
    question = registry.questions.get(name)
    return {
        "asked of": f"any dataset, as --task {name} --dataset NAME",
        "needs": [
            f"{question.classes} classes or more",
            f"{max(question.per_class, -(-question.balanced // question.classes))} training points of each of them",
            f"{question.tested_per_class} test points of each",
        ],
    }


def _task(name: str) -> dict[str, Any]:
    task = registry.tasks.get(name)
    return {
        "track": task.track,
        "version": task.version,
        "dataset": task.dataset,
        "needs": [need if isinstance(need, str) else " or ".join(need) for need in task.needs],
        "primary metric": task.primary,
        "metrics": list(task.metrics),
        "fits": [_variant(variant) for variant in task.variants],
        "reference": task.reference,
    }


def _variant(variant: Any) -> str:
    changed = [
        f"{f.name}={getattr(variant, f.name)}"
        for f in fields(variant)
        if f.name != "name" and getattr(variant, f.name) != f.default
    ]
    return f"{variant.name} ({', '.join(changed)})" if changed else f"{variant.name} (all training points)"


def _model(name: str) -> dict[str, Any]:
    from lebench.models.spec import NUMPY, parameters
    from lebench.models.wording import values_in_words

    declared = parameters(name)
    shown = {
        p.name: f"{values_in_words(p)}, " + ("required" if p.required else f"default {p.default!r}")
        for p in declared.values()
    }
    details: dict[str, Any] = {"description": _docstring(registry.models.get(name)), "parameters": shown or "none"}
    if not any(p.required for p in declared.values()):
        # Without its framework, which may not be installed.
        built = registry.models.get(name)()
        details |= {"backend": getattr(built, "backend", NUMPY), "capabilities": sorted(built.capabilities)}
        from lebench.architectures import Architecture, describe

        network = getattr(built, "network", None)
        if isinstance(network, Architecture):
            details["layers"] = [describe(layer) for layer in network.layers]
    return details


def _docstring(obj: object) -> str:
    import inspect

    text = inspect.getdoc(obj) or ""
    # The parameters are listed below with their types; the first line is the summary.
    body = text.split("\nParameters\n", 1)[0].split("\n", 1)
    return body[1].strip() if len(body) > 1 else ""


def _metric(name: str) -> dict[str, Any]:
    metric = registry.metrics.get(name)
    return {
        "symbol": metric.symbol,
        "equation": metric.equation,
        "source of definition": metric.source,
        "direction": {"none": "descriptive"}.get(metric.direction, f"{metric.direction} is better"),
        "bounds": f"[{metric.bounds[0]:g}, {metric.bounds[1]:g}]",
        "unit": metric.unit,
        "invariant to": list(metric.invariant_to) or "nothing stated",
        "known answers": [f"{a.name}: {a.expected:.10g} ({a.source})" for a in metric.known_answers],
    }


def _dataset(name: str) -> dict[str, Any]:
    dataset = registry.datasets.get(name)
    try:
        sha256 = dataset.sha256
    except UnavailableDataError as error:
        sha256 = f"not known: {error}"
    return {
        "version": dataset.version,
        "input shape": str(dataset.input_shape),
        "classes": ", ".join(dataset.class_names),
        **({"recipe": ", ".join(f"{name} {change}" for name, change in dataset.recipe)} if dataset.recipe else {}),
        "licence": dataset.licence,
        "citation": dataset.citation,
        "sha256": sha256,
    }


def _backend(name: str) -> dict[str, Any]:
    import importlib.metadata
    import importlib.util

    if registry.backends.item(name).source != "lebench":
        return {"description": _docstring(registry.backends.get(name))}
    if importlib.util.find_spec(name) is None:
        return {"installed": f"no; {install_hint(name)} installs it"}
    return {"installed": importlib.metadata.version(name)}


_DETAILS = {
    "task": _task,
    "question": _question,
    "model": _model,
    "metric": _metric,
    "dataset": _dataset,
    "backend": _backend,
}


def _text(values: dict[str, Any]) -> Iterable[str]:
    yield f"{values['name']} ({values['kind']})"
    for key, value in values.items():
        if key in ("name", "kind") or value in ("", [], ()) or (key == "source" and value == "lebench"):
            continue
        if isinstance(value, dict):
            width = max(map(len, value))
            yield f"  {key}:"
            yield from (f"    {name.ljust(width)}  {text}" for name, text in value.items())
        elif isinstance(value, list):
            yield f"  {key}:"
            yield from (
                line
                for text in value
                for line in textwrap.wrap(str(text), _WIDTH, initial_indent="    ", subsequent_indent="      ")
            )
        else:
            text = " ".join(str(value).split())
            yield from textwrap.wrap(f"{key}: {text}", _WIDTH, initial_indent="  ", subsequent_indent="    ")
