"""What a dataset says of the recipes of networks: less training where there are many points."""

from lebench import registry
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.store import Store

PLUGIN = """
from dataclasses import replace

from lebench import registry

digits = registry.datasets.get("digits")
registry.datasets.register("digits-briefly", replace(digits, name="digits-briefly", recipe=(("epochs", "x0.02"),)))
"""


def test_a_network_is_trained_as_its_data_say_and_other_models_are_fitted_all_the_same(tmp_path, monkeypatch):
    # What importing registers would be taken back with the rest.
    registry.datasets.get("digits"), registry.tasks.get("digits/accuracy"), registry.tasks.get("digits/small-n")
    for kind in (registry.datasets, registry.tasks):
        monkeypatch.setattr(kind, "_items", dict(kind._items))
        monkeypatch.setattr(kind, "_objects", dict(kind._objects))
    plugin = tmp_path / "briefly.py"
    plugin.write_text(PLUGIN)

    def values(task, model):
        plan = make_plan([task], [model], [0], plugins=[plugin])
        assert not plan.skipped
        (record,) = execute(plan, Store(tmp_path / "results")).records
        return record.metrics

    small = "mlp[depth=1,epochs={},min_steps=1,width=8]"
    assert values("digits-briefly/accuracy", small.format(100)) == values("digits/accuracy", small.format(2))
    assert values("digits-briefly/accuracy", "constant") == values("digits/accuracy", "constant")
    # Few points of many are trained as they are anywhere.
    assert values("digits-briefly/small-n", small.format(2)) == values("digits/small-n", small.format(2))
    versions = [registry.tasks.get(f"{data}/small-n").version for data in ("digits", "digits-briefly")]
    assert versions == [1, 2]
