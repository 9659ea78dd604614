"""A model in the sandbox answers as it would in this process, and in no other form than it was asked."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from lebench import registry
from lebench.errors import LebenchError, TrainingError
from lebench.models.spec import build_model
from lebench.plugins import find
from lebench.sandbox import remote
from lebench.sandbox.wire import Message, WireError

CHECKED = ("predict", "predict_proba", "features", "gram")


@pytest.fixture
def models(sandbox, plugin, monkeypatch):
    """The models of a plug-in that this process does not import."""
    monkeypatch.setattr(registry.models, "_items", dict(registry.models._items))
    monkeypatch.setattr(registry.models, "_objects", dict(registry.models._objects))
    remote.StandIns(find(plugin)).register()
    return lambda spec: build_model(spec).model


@pytest.fixture
def split():
    whole = registry.datasets.get("digits").split(0)
    few = {name: getattr(whole, name)[:60] for name in ("x_train", "y_train", "x_test", "y_test")}
    return dataclasses.replace(whole, **few)


def test_a_network_answers_to_the_last_bit_as_it_does_here(models, plugin, split, tmp_path):
    fitted = models("guest-net[lr=0.05]").with_recipe([("epochs", 3)]).fit(split, 1)
    x, y = split.x_test, split.y_test
    found = {name: getattr(fitted, name)(x) for name in CHECKED if name != "gram"}
    found |= {"gram": fitted.gram(x[:5], x[:4]), "similarity": fitted.similarity(x[:4], y[:4], x[:6], kind="signed")}
    found |= dict(zip(("weights", "bias"), fitted.head(), strict=True))
    found |= {"times": fitted.trajectory().times, "probed": fitted.trajectory().scores}
    found |= {"before": fitted.checkpoints()[0].fitted.predict(x)}
    np.savez(tmp_path / "split.npz", **{n: getattr(split, n) for n in ("x_train", "y_train", "x_test", "y_test")})
    code = (
        "import sys, numpy as np\n"
        "from lebench import registry\nfrom lebench.data.base import Split\n"
        "from lebench.models.spec import build_model\n"
        "registry.load_plugin(sys.argv[1])\n"
        "split = Split(**np.load(sys.argv[2]), class_names=tuple('0123456789'))\n"
        "f = build_model('guest-net[lr=0.05]').model.with_recipe([('epochs', 3)]).fit(split, 1)\n"
        "x, y = split.x_test, split.y_test\n"
        "w, b = f.head(); t = f.trajectory()\n"
        "np.savez(sys.argv[3], predict=f.predict(x), predict_proba=f.predict_proba(x), features=f.features(x),\n"
        "         gram=f.gram(x[:5], x[:4]),\n"
        "         similarity=f.similarity(x[:4], y[:4], x[:6], kind='signed'), weights=w, bias=b,\n"
        "         times=t.times, probed=t.scores, before=f.checkpoints()[0].fitted.predict(x))\n"
    )
    paths = [plugin, tmp_path / "split.npz", tmp_path / "here.npz"]
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, *map(str, paths)], check=True)
    here = np.load(tmp_path / "here.npz")
    assert set(here) == set(found)
    for name in here:
        np.testing.assert_array_equal(found[name], here[name], err_msg=name)


def test_labels_of_test_points_are_never_shown_and_predictions_come_before_any_label(
    models, plugin, split, monkeypatch
):
    sent = []
    ask = remote.Connection.ask
    monkeypatch.setattr(
        remote.Connection, "ask", lambda self, request, *rest: (sent.append(request), ask(self, request, *rest))[1]
    )
    fitted = models("guest-labels").fit(split, 0)
    assert fitted.predict(split.x_test).argmax(axis=1).tolist() == [0] * len(split.x_test)
    fit, first = sent[-2:]
    assert set(fit.arrays) == {"x_train", "y_train", "x_test"}
    assert (fit.kind, first.kind, first.values["method"]) == ("fit", "call", "predict")
    # Asked again, it is not asked again: what it said before it saw labels stands.
    fitted.predict(split.x_test)
    assert len(sent) == sent.index(first) + 1


@pytest.mark.parametrize(
    ("how", "error", "said"),
    [
        ("too many", WireError, "larger than what was asked for"),
        ("too few", WireError, "returned the shape"),
        ("deep", WireError, "did not return 2 dimensions"),
        ("nan", LebenchError, "not finite"),
        ("object", LebenchError, "TypeError"),
        ("diverges", TrainingError, "training diverged"),
        ("dies", LebenchError, "process has ended (exit code 3)"),
    ],
)
def test_answers_of_another_form_end_the_cell_with_a_reason(models, split, how, error, said):
    with pytest.raises(error) as caught:
        models(f"guest-labels[how={how}]").fit(split, 0)
    assert said in str(caught.value)


def test_what_it_prints_is_no_answer_and_stands_nowhere(models, split, capfd):
    assert models("guest-labels[how=prints]").fit(split, 0).predict(split.x_test).shape == (60, 10)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("about", [1, {}, {"summary": "", "version": "one"}, {"summary": "", "version": 1}])
def test_what_it_says_of_its_models_has_a_form(plugin, monkeypatch, about):
    class Liar:
        def ask(self, request, most_bytes=0):
            return Message("models", {"liar": about})

    monkeypatch.setattr(remote, "connection", lambda plugin: Liar())
    with pytest.raises(WireError, match="does not say what it must of its models"):
        remote.StandIns(find(plugin)).register()
    assert "liar" not in registry.models


def test_parameters_are_known_without_importing_the_plugin(models, plugin):
    assert build_model("guest-net[width=4]").params == {"width": 4, "lr": 0.1}
    assert build_model("guest-net[width=4]").label == "guest-net[width=4]"
    with pytest.raises(LebenchError, match="no parameter 'widht'"):
        build_model("guest-net[widht=4]")
    assert not any(getattr(module, "__file__", None) == str(plugin) for module in sys.modules.values())


def test_a_guest_that_dies_takes_its_fits_along_and_no_others(models, plugin, split):
    lost = models("guest-labels").fit(split, 0)
    remote.connection(find(plugin)).close()
    fresh = models("guest-labels").fit(split, 0)
    with pytest.raises(LebenchError, match="has ended"):
        lost.predict(split.x_train)
    assert fresh.predict(split.x_train).shape == (60, 10)


def test_a_model_that_answers_without_keeping_to_the_form_is_ended(models, plugin):
    connection = remote.connection(find(plugin))
    with pytest.raises(LebenchError, match="KeyError"):
        connection.ask(Message("delete everything"))


def test_a_submitted_model_is_run_again_without_being_imported(sandbox, plugin, tmp_path):
    """From the run of its author to the re-run of a check, as commands: the same records, to the last bit."""
    lebench = [sys.executable, "-c", "from lebench.cli import main; main()"]

    def run(*arguments):
        done = subprocess.run(
            [*lebench, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    asked = ("--task", "digits/collapse", "--seeds", 1)
    run("run", "--plugin", plugin, "-m", "guest-net", *asked, "-o", "results", "-j", 1)
    author = ("--author", "A. Author", "--name", "mine", "--entries", tmp_path / "entries")
    run("submit", "results", "-m", "guest-net", "--plugin", plugin, *author, "--yes")
    (code,) = (tmp_path / "entries/mine").glob("plugin*")
    assert "plugin.py:3: imports os: reaches processes and the environment" in run(
        "validate", tmp_path / "entries/mine"
    )
    said = run("verify", tmp_path / "entries/mine", "--rerun", 1, "--seed", "x", "--plugin", code, "-j", 1)
    assert "1 of 1 records that were run again agree, 1 of them exactly" in said
