"""Scores computed again from what the models answered, without the models."""

import numpy as np
import pytest

from lebench import registry
from lebench.artifacts import unpack
from lebench.capabilities import CAPABILITIES, Checkpoint, Trajectory, offers
from lebench.data.base import Variant
from lebench.errors import DataError
from lebench.runner.execution import execute
from lebench.runner.plan import make_plan
from lebench.runner.recording import Recorder, replay, same
from lebench.runner.recording_format import BITS, LIMIT, RecordingError, rounded
from lebench.runner.results import checked_values as values
from lebench.runner.store import Store
from lebench.runner.worker import rescored
from lebench.tasks.base import Fit, NotFitted, Scored, Task

#: A call whose answer has more rows than any recording has numbers, and no columns.
EMPTY_BUT_LONG = np.array([[9, 9, 9, 9, 2, 2**31 - 1, 0, 0]], dtype="<i4")
#: A kernel of many points, of whose factor there is nothing.
EMPTY_FACTOR = np.array([[9, 9, 9, 9, -5, 500_000, 0, 0]], dtype="<i4")


class Everything:
    """Has every capability, and answers what the tests can tell apart."""

    own = 3

    def predict(self, x):
        return x.reshape(len(x), -1)[:, :2] + 1 / 3

    def predict_proba(self, x):
        return np.full((len(x), 2), 0.5)

    def features(self, x):
        return x.reshape(len(x), -1)

    def head(self):
        return np.ones((2, 4)), np.zeros(2)

    def similarity(self, sources, labels, targets, kind="relative", step=None):
        if kind == "kernel":
            raise DataError("nothing moves")
        return np.full((len(sources), len(targets)), 1.0 if kind == "relative" else -1.0)

    def gram(self, x1, x2):
        return x1.reshape(len(x1), -1) @ x2.reshape(len(x2), -1).T

    def trajectory(self):
        return Trajectory(np.arange(2.0), np.ones(2), np.zeros(2), np.array([4, 5]), np.ones((2, 2, 2)))

    def diagnostics(self):
        return {"ridge": 0.5, "norm@few": 0.25}

    def checkpoints(self):
        return tuple(Checkpoint(float(time), lambda: Predictor()) for time in (0, 7))


class Predictor:
    def predict(self, x):
        return np.zeros((len(x), 2))


@pytest.fixture
def split():
    return registry.datasets.get("digits-5v8").split(0)


def task_of(*variants):
    return Task(
        name="a/b",
        track="collapse",
        summary="",
        reference="",
        version=1,
        dataset="digits-5v8",
        needs=(),
        primary="cdnv",
        metrics=("cdnv",),
        score=dict,
        variants=variants,
    )


def recorded(split, fitted, ask):
    """Return what was recorded while questions were asked, and the recorder."""
    recorder = Recorder()
    ask(recorder.fits({"default": Fit(split, fitted, 0)}))
    return recorder.arrays(), recorder


def replayed(split, fitted, ask):
    arrays, recorder = recorded(split, fitted, ask)
    assert recorder.gap == ""
    return replay(task_of(Variant()), split, 0, arrays)


def test_every_capability_answers_as_it_did(split):
    x, y = split.x_test[:5], split.y_test[:5]

    def ask(fits):
        fitted = fits["default"].fitted
        path = fitted.trajectory()
        return [
            fitted.predict(x),
            fitted.predict(split.x_train),
            fitted.predict_proba(x),
            fitted.features(x),
            *fitted.head(),
            fitted.similarity(x, y, x),
            fitted.similarity(x, y, x, kind="relative", step=None),
            fitted.similarity(sources=x, labels=y, targets=x, kind="signed"),
            fitted.gram(x, split.x_train),
            *(path.times, path.loss, path.error, path.probe, path.scores),
            *(np.array([checkpoint.time]) for checkpoint in fitted.checkpoints()),
            fitted.checkpoints()[1].fitted.predict(x),
        ]

    fits = replayed(split, Everything(), ask)
    before = ask({"default": Fit(split, Everything(), 0)})
    for was, now in zip(before, ask(fits), strict=True):
        assert (now.shape, now.dtype) == (was.shape, was.dtype)
        # Half of the last of 16 significant bits.
        np.testing.assert_allclose(now, was, rtol=2**-16, atol=0)


def test_a_model_offers_what_it_offered(split):
    for fitted in (Everything(), Predictor()):
        fits = replayed(split, fitted, lambda fits: None)
        for name in CAPABILITIES:
            assert offers(fits["default"].fitted, name) is offers(fitted, name)


def test_what_is_recorded_is_still_the_model(split):
    seen = {}

    def ask(fits):
        seen["fitted"] = fits["default"].fitted

    recorded(split, Everything(), ask)
    assert isinstance(seen["fitted"], Everything)
    assert all(offers(seen["fitted"], name) is offers(Everything(), name) for name in CAPABILITIES)


def test_a_refusal_is_a_refusal_again(split):
    def ask(fits):
        x, y = split.x_test, split.y_test
        with pytest.raises(DataError):
            fits["default"].fitted.similarity(x, y, x, kind="kernel")

    ask(replayed(split, Everything(), ask))


def test_a_model_that_could_not_be_trained_is_none_again(split):
    fits = replayed(split, NotFitted("training diverged"), lambda fits: None)
    assert isinstance(fits["default"].fitted, NotFitted)


def test_fits_are_told_apart(split):
    class Own(Predictor):
        def __init__(self, value):
            self.value = value

        def predict(self, x):
            return np.full((len(x), 2), self.value)

    few = Variant("few", n_train=10)
    recorder = Recorder()
    fits = recorder.fits({"default": Fit(split, Own(1.0), 0), "few": Fit(few.apply(split, 0), Own(2.0), 0)})
    for fit in fits.values():
        fit.fitted.predict(split.x_test)
    fits = replay(task_of(Variant(), few), split, 0, recorder.arrays())
    assert [fit.fitted.predict(split.x_test)[0, 0] for fit in fits.values()] == [1.0, 2.0]
    assert len(fits["few"].split.y_train) == 10


def test_a_question_that_was_not_asked_has_no_answer(split):
    fits = replayed(split, Everything(), lambda fits: fits["default"].fitted.predict(split.x_test))
    with pytest.raises(RecordingError, match="no answer"):
        fits["default"].fitted.predict(split.x_train)


def test_the_last_bits_of_another_machine_ask_the_same(split):
    fits = replayed(split, Everything(), lambda fits: fits["default"].fitted.predict(split.x_test))
    other = split.x_test * (1 + 2**-52)
    assert not np.array_equal(other, split.x_test)
    fits["default"].fitted.predict(other)
    with pytest.raises(RecordingError):
        fits["default"].fitted.predict(split.x_test * 1.001)


@pytest.mark.parametrize(
    ("ask", "gap"),
    [
        (lambda fitted, x: fitted.own, "own, which is no capability"),
        (lambda fitted, x: fitted.gram(np.ones((LIMIT + 1, 1)), np.ones((1, 1))), "too many"),
        (lambda fitted, x: fitted.predict(np.full_like(x, np.inf)), "not finite"),
    ],
)
def test_what_cannot_be_recorded_leaves_no_recording(split, ask, gap):
    arrays, recorder = recorded(split, Everything(), lambda fits: ask(fits["default"].fitted, split.x_test))
    assert arrays == {}
    assert gap in recorder.gap


def test_numbers_of_every_size_keep_sixteen_bits(split):
    numbers = np.concatenate([[0.0, -0.0, 3.4e38, -3.4e38, 1e-30], np.logspace(-30, 37, 500), -np.logspace(-3, 3, 99)])

    class Numbers:
        def gram(self, x1, x2):
            return numbers.reshape(1, -1)

    fits = replayed(split, Numbers(), lambda fits: fits["default"].fitted.gram(split.x_test, split.x_test))
    read = fits["default"].fitted.gram(split.x_test, split.x_test)[0]
    np.testing.assert_allclose(read, numbers, rtol=2**-16, atol=1e-37)
    assert np.isfinite(read).all()
    # Where nothing would become infinite, half of the last bit.
    np.testing.assert_allclose(read[4:], numbers[4:], rtol=2**-16, atol=0)


@pytest.mark.parametrize("bits", BITS)
def test_a_recording_can_keep_fewer_bits(split, bits):
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((20, 30)) * np.logspace(-8, 8, 30)

    class Numbers:
        def gram(self, x1, x2):
            return matrix

    arrays, _ = recorded(split, Numbers(), lambda fits: fits["default"].fitted.gram(split.x_test, split.x_test))
    fits = replay(task_of(Variant()), split, 0, rounded(arrays, bits))
    read = fits["default"].fitted.gram(split.x_test, split.x_test)
    error = np.abs(read / matrix - 1).max()
    # A number is rounded twice, once to the bits that a recording can have.
    assert 2.0**-bits / 2 < error <= 2.0**-bits + 2.0**-16


def test_symmetric_matrices_take_half_the_room(split):
    points = split.x_test.reshape(len(split.x_test), -1)
    rounding = np.random.default_rng(0).standard_normal((len(points), len(points)))
    kernel = points @ points.T
    kernel += 1e-15 * np.abs(kernel).max() * rounding
    assert not np.array_equal(kernel, kernel.T)

    class Numbers:
        def gram(self, x1, x2):
            return kernel if len(x1) == len(x2) else kernel[:, :-1]

    for whole in (True, False):
        x = split.x_test if whole else split.x_test[:-1]

        def ask(fits, x=x):
            return fits["default"].fitted.gram(split.x_test, x)

        arrays, _ = recorded(split, Numbers(), ask)
        n = len(points)
        assert arrays["recorded_answers"].shape == (3, n * (n + 1) // 2 if whole else n * (n - 1))
        read = ask(replay(task_of(Variant()), split, 0, arrays))
        np.testing.assert_allclose(read, kernel[:, : len(x)], rtol=2**-15, atol=1e-14 * np.abs(kernel).max())


@pytest.mark.parametrize("values", [{"ridge": 0.5, "norm@few": 0.25}, {"ridge": 0.5}, {}])
def test_values_by_name_keep_their_names_and_order(split, values):
    class Diagnosed(Predictor):
        def diagnostics(self):
            return values

    fits = replayed(split, Diagnosed(), lambda fits: fits["default"].fitted.diagnostics())
    assert list(fits["default"].fitted.diagnostics().items()) == list(values.items())


@pytest.mark.parametrize("name", ["n\N{GREEK SMALL LETTER ALPHA}", "a\nb", 3])
def test_a_name_that_a_recording_cannot_hold_leaves_the_score_alone(split, name):
    class Diagnosed(Predictor):
        def diagnostics(self):
            return {name: 1.0}

    seen = []
    arrays, recorder = recorded(split, Diagnosed(), lambda fits: seen.append(fits["default"].fitted.diagnostics()))
    assert seen == [{name: 1.0}]
    assert arrays == {}
    assert recorder.gap


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda calls, answers: ({}, answers), "there is no recording"),
        (lambda calls, answers: (calls[:, :7], answers), "eight columns"),
        (lambda calls, answers: (calls.astype("f4"), answers), "eight columns"),
        (lambda calls, answers: (calls, answers[:2]), "three rows"),
        (lambda calls, answers: (calls, answers[:, :-1]), "fewer numbers"),
        (lambda calls, answers: (calls, np.hstack([answers, answers])), "more numbers"),
        (lambda calls, answers: (np.vstack([calls, calls]), answers), "twice"),
        (lambda calls, answers: (np.where(calls == 2, 4, calls), answers), "damaged"),
        (lambda calls, answers: (calls, np.full_like(answers, 255)), "not finite"),
        (lambda calls, answers: (np.where(calls == len(answers[0]) // 2, 2**31 - 1, calls), answers), "fewer numbers"),
        # No numbers, but a score may multiply the array with itself.
        (lambda calls, answers: (np.vstack([calls, EMPTY_BUT_LONG]), answers), "fewer numbers"),
        (lambda calls, answers: (np.vstack([calls, EMPTY_FACTOR]), answers), "10,000,000 numbers"),
    ],
)
def test_a_damaged_recording_is_refused(split, damage, message):
    arrays, _ = recorded(split, Everything(), lambda fits: fits["default"].fitted.predict(split.x_test))
    calls, answers = damage(arrays["recorded_calls"], arrays["recorded_answers"])
    changed = {"recorded_answers": answers} | ({} if isinstance(calls, dict) else {"recorded_calls": calls})
    with pytest.raises(RecordingError, match=message):
        replay(task_of(Variant()), split, 0, changed)


@pytest.mark.parametrize("task", ["digits/accuracy", "digits/elasticity", "digits/stability", "digits/alignment"])
def test_a_run_is_scored_again_from_its_recording(tmp_path, task):
    store = Store(tmp_path / "results")
    (record,) = execute(make_plan([task], ["linear[epochs=3,min_steps=0]"], [1]), store, jobs=1).records
    arrays = unpack(store.recording(record), record.recorded)
    question = registry.tasks.get(task)
    scored = question.score(replay(question, registry.datasets.get(record.cell.dataset).split(1), 1, arrays))
    again, missing = values(question, scored.values if isinstance(scored, Scored) else scored)
    assert set(missing) == set(record.missing)
    assert same(record.metrics, again)
    assert store.artifacts(record) or not record.pictured


@pytest.mark.parametrize(("task", "few"), [("digits/collapse", True), ("digits/stability", False)])
def test_wide_features_are_kept_in_few_coordinates_if_the_score_is_the_same(tmp_path, task, few):
    store = Store(tmp_path / "results")
    (record,) = execute(make_plan([task], ["mlp[width=256,epochs=1,min_steps=0]"], [0]), store, jobs=1).records
    arrays = unpack(store.recording(record), record.recorded)
    features = arrays["recorded_answers"].shape[1] / 1797
    # In stability the inner products of features count, which fewer coordinates do not have.
    assert features < 40 if few else features > 60
    split = registry.datasets.get("digits").split(0)
    assert same(record.metrics, rescored(registry.tasks.get(task), split, 0, arrays))


def test_kernels_are_kept_in_few_coordinates_and_numbers_in_few_bits_if_the_score_is_the_same(tmp_path):
    store = Store(tmp_path / "results")
    (record,) = execute(make_plan(["digits/collapse"], ["rbf"], [0]), store, jobs=1).records
    arrays = unpack(store.recording(record), record.recorded)
    answers = arrays["recorded_answers"]
    # Ten scores of each point, and of training points eleven coordinates instead of inner products with a thousand.
    assert answers.shape[1] < 1797 * 22
    assert not (answers[2] & 3).any(), "the lowest bits are those of sixteen significant ones"
    split = registry.datasets.get("digits").split(0)
    assert same(record.metrics, rescored(registry.tasks.get("digits/collapse"), split, 0, arrays))


def test_ties_of_the_constant_predictor_are_decided_by_what_a_recording_keeps(tmp_path):
    store = Store(tmp_path / "results")
    (record,) = execute(make_plan(["digits/small-n"], ["constant"], [0]), store, jobs=1).records
    assert record.metrics["accuracy@mean"] > 0
    assert record.recorded, "a recording from which the score comes out otherwise is not kept"
