"""Generalization and collapse of a scikit-learn estimator."""

from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import train_test_split

from lebench import metrics

x, x_test, y, y_test = train_test_split(*load_digits(return_X_y=True), random_state=0)
estimator = LinearDiscriminantAnalysis().fit(x, y)

probabilities = estimator.predict_proba(x_test)
pixels, features = metrics.collapse(x, y), metrics.collapse(estimator.transform(x), y)
values = {
    "accuracy": metrics.accuracy(probabilities, y_test),
    "calibration error": metrics.expected_calibration_error(probabilities, y_test),
    "log loss": metrics.log_loss(probabilities, y_test),
    "nc1 of the pixels": pixels["nc1_pinv_over_C"],
    "nc1 of the discriminants": features["nc1_pinv_over_C"],
}

for name, value in values.items():
    print(f"{name:24s}  {value:.3f}")
