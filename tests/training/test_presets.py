from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lookalike.errors import UsageError
from lookalike.training.presets import PRESETS, find_preset, vary

EXPERIMENTS = Path(__file__).parents[3] / "shared" / "spec" / "experiments.csv"


def rows() -> list[dict[str, str]]:
    if not EXPERIMENTS.is_file():
        pytest.skip("the table of the described experiments is not beside the checkout")
    return list(csv.DictReader(EXPERIMENTS.read_text(encoding="utf-8").splitlines()))


def test_every_described_experiment_is_a_preset_with_its_numbers() -> None:
    for row in rows():
        preset = PRESETS[row["id"]]
        assert preset.latent_dim == int(row["latent_dim"])
        assert preset.learning_rate == float(row["learning_rate"])
        assert row["schedule"].startswith(preset.schedule)
        assert preset.epochs == int(row["epochs"])
        assert preset.l1_activity == float(row["l1_activity"])
        assert preset.l2_kernel == float(row["l2_kernel"])
        assert preset.flip == (row["augmentation"] == "horizontal flip")
        assert preset.fraction == int(row["training_data"].rstrip("%")) / 100


def test_from_exp5a_on_embeddings_are_not_below_zero() -> None:
    names = [name for name in PRESETS if name.startswith("exp") or name in {"base", "final"}]
    assert [name for name in names if not PRESETS[name].relu] == ["base", "exp1", "exp2", "exp3", "exp4"]


def test_every_preset_has_a_description_and_its_own_name() -> None:
    assert all(preset.name == name and preset.description for name, preset in PRESETS.items())


def test_a_preset_can_be_varied() -> None:
    varied = vary(
        PRESETS["base"],
        {
            "epochs": "5",
            "learning_rate": "1e-2",
            "relu": "yes",
            "filters": "8,16,32",
            "schedule": "linear",
            "size": "64",
        },
    )
    assert (varied.epochs, varied.learning_rate, varied.relu, varied.filters) == (5, 0.01, True, (8, 16, 32))
    assert (varied.schedule, varied.size, varied.name) == ("linear", 64, "base")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", "0"),
        ("epochs", "many"),
        ("learning_rate", "nan"),
        ("size", "50000"),
        ("size", "50"),
        ("schedule", "cosine"),
        ("filters", "8,x"),
        ("relu", "maybe"),
        ("fraction", "1.5"),
        ("nonsense", "1"),
        ("name", "other"),
    ],
)
def test_a_value_that_is_none_is_refused(key: str, value: str) -> None:
    with pytest.raises(UsageError, match=key):
        vary(PRESETS["base"], {key: value})


def test_an_unknown_preset_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown preset 'nonsense'") as raised:
        find_preset("nonsense")
    assert "exp6d" in raised.value.hint


def test_the_documentation_has_a_row_for_each_preset() -> None:
    page = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    for preset in PRESETS.values():
        (row,) = (line for line in page.splitlines() if line.startswith(f"| `{preset.name}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert (cells[1], cells[4], cells[8]) == (str(preset.latent_dim), str(preset.epochs), str(preset.size))
        assert cells[9] == preset.description
