"""The notebook of the documentation: its page, and that its cells do what they did when it was saved."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lebench.site import notebook

PATH = Path(__file__).parents[1] / "docs/your-network.ipynb"


def cells():
    return json.loads(PATH.read_text(encoding="utf-8"))["cells"]


def test_the_page_has_every_cell_and_its_outputs():
    text = notebook.page(PATH)
    outputs = [output for cell in cells() for output in cell.get("outputs", ())]
    charts = [o["data"]["application/vnd.vegalite.v6+json"] for o in outputs if "text/html" not in o["data"]]
    assert all(output["output_type"] == "execute_result" for output in outputs)
    assert len(charts) == 3
    assert text.count('<figure class="le-picture">') == sum(len(chart.get("vconcat", [chart])) for chart in charts)
    assert text.count("```python") == sum(cell["cell_type"] == "code" for cell in cells())
    assert text.count('<div class="le-output">') == len(outputs) - len(charts)
    # Each figure has the data that it draws.
    for part in text.split('<script type="application/json">')[1:]:
        spec = json.loads(part.partition("</script>")[0])
        datasets = spec.pop("datasets")
        named = set(re.findall(r'"name": "(data-\w+)"', json.dumps(spec)))
        assert named == datasets.keys()
        assert named or '"values": [' in json.dumps(spec)


@pytest.mark.slow
def test_the_cells_run_and_give_what_they_gave():
    space: dict = {}
    for cell in cells():
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), PATH.name, "exec"), space)
    saved = "".join(
        next(c for c in cells() if "scores = lebench.score" in "".join(c["source"]))["outputs"][0]["data"]["text/html"]
    )
    scores, beside = space["scores"], space["beside"]
    assert scores["value"].notna().all()
    shown = scores._repr_html_()
    assert shown.count("<tr>") == saved.count("<tr>")
    # Training differs between processors, what was found does not.
    values = scores.set_index("metric")["value"]
    assert values["accuracy"] > 0.9
    assert values["elasticity_ratio"] > 0.5
    course = space["course"]["nc1_pinv_over_C@train"]
    assert course.iloc[-1] < course.iloc[0] / 3
    assert (beside["model"] == "my ResNet").sum() == 1
    assert isinstance(space["over_training"], pd.DataFrame)
    assert np.isfinite(space["over_training"]["value"]).all()
