"""Checkpoints: two parts of a training are the whole; what does not belong is refused."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import pytest
import torch
import training_steps
from strata_labels.errors import InputError, RetryError
from strata_labels.training import (
    Recipe,
    checkpoint,
    load_recipe,
)
from strata_labels.training.trainer import Trainer

ABOUT = {"recipe": "mine", "seed": 1}


@pytest.mark.parametrize(("name", "stop"), [("happier", 8), ("roadmap", 12), ("csl", 13)])
def test_two_parts_are_the_whole(name: str, stop: int, tmp_path: Path) -> None:
    recipe = load_recipe(name, "full", training_steps.SMALL)
    whole = training_steps.trainer(recipe, dropout=0.3)
    whole.run(steps=20)

    first = training_steps.trainer(recipe, dropout=0.3)
    first.run(steps=stop)
    checkpoint.save(tmp_path / "c.pt", first, ABOUT)
    torch.manual_seed(99)  # another program's randomness
    second = training_steps.trainer(recipe, dropout=0.3)
    checkpoint.load(tmp_path / "c.pt", second, ABOUT)
    done = 0 if name == "roadmap" else 3  # an epoch has 6 batches, or 5: roadmap stops at its end
    assert second.step == stop and second.sampler.done == done
    second.run(steps=20 - stop)
    assert training_steps.same(second.state_dict(), whole.state_dict())


def test_a_checkpoint_of_other_batches_is_refused(tmp_path: Path) -> None:
    """More batches done than the epoch has: it would never end."""
    recipe = load_recipe("happier", "full", training_steps.SMALL)
    first = training_steps.trainer(recipe)
    first.run(steps=1)
    number = len(first.sampler)
    first.sampler.done = number
    checkpoint.save(tmp_path / "c.pt", first, ABOUT)
    said = f"does not fit \\({number} batches of epoch 0 are done; it has {number}\\)"
    with pytest.raises(InputError, match=said):
        checkpoint.load(tmp_path / "c.pt", training_steps.trainer(recipe), ABOUT)


@pytest.mark.parametrize("number", [2, 4])
def test_a_checkpoint_of_another_format_is_refused(number: int, tmp_path: Path) -> None:
    trainer = training_steps.trainer(load_recipe("happier", "full", training_steps.SMALL))
    torch.save({"format": number, "about": ABOUT, "state": {}}, tmp_path / "c.pt")
    with pytest.raises(InputError, match="checkpoint of another version of Strata"):
        checkpoint.load(tmp_path / "c.pt", trainer, ABOUT)


class TestCheckpoints:
    def trainer(self, **settings: float) -> Trainer:
        own = [f"{key}={value}" for key, value in settings.items()]
        trainer = training_steps.trainer(self.recipe(own))
        trainer.run(steps=3)
        return trainer

    def recipe(self, settings: list[str] | None = None) -> Recipe:
        return load_recipe("happier", "full", [*training_steps.SMALL, *(settings or ())])

    def test_another_training_is_refused_with_every_difference(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        checkpoint.save(path, self.trainer(), ABOUT)
        with pytest.raises(InputError) as error:
            checkpoint.load(path, self.trainer(), {"recipe": "yours", "seed": 2})
        assert [problem.column for problem in error.value.problems] == ["recipe", "seed"]

    def test_a_changed_recipe_names_the_changed_settings(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        about = ABOUT | {"recipe": self.recipe().as_dict()}
        checkpoint.save(path, self.trainer(), about)
        other = about | {"recipe": self.recipe(["lr=0.5", "epochs=7"]).as_dict()}
        with pytest.raises(InputError, match=r"it has 0\.001, not 0\.5") as error:
            checkpoint.load(path, self.trainer(), other)
        columns = [problem.column for problem in error.value.problems]
        assert columns == ["recipe.epochs", "recipe.lr"]
        with pytest.raises(InputError, match="on other paths, labels or splits") as error:
            checkpoint.load(path, self.trainer(), about | {"data": "0123abcd"})
        assert "0123abcd" not in str(error.value)

    def test_what_no_step_depends_on_may_change(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        checkpoint.save(path, self.trainer(), ABOUT | {"recipe": self.recipe().as_dict()})
        settings = ["title=mine", "checkpoint_every=7", "report_recall_at=[2]"]
        other = self.trainer()
        checkpoint.load(path, other, ABOUT | {"recipe": self.recipe(settings).as_dict()})
        assert other.step == 3

    @pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
    def test_truncated_is_refused(self, tmp_path: Path, kept: float) -> None:
        path = tmp_path / "c.pt"
        trainer = self.trainer()
        checkpoint.save(path, trainer, ABOUT)
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
        with pytest.raises(InputError, match="damaged checkpoint"):
            checkpoint.load(path, trainer, ABOUT)

    def test_something_else_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        torch.save([1, 2], path)
        with pytest.raises(InputError, match="damaged checkpoint"):
            checkpoint.load(path, self.trainer(), ABOUT)

    @pytest.mark.parametrize("part", ["model", "loss"])
    def test_weights_that_are_no_numbers_are_named(self, tmp_path: Path, part: str) -> None:
        path = tmp_path / "c.pt"
        trainer = self.trainer()
        name, weight = list(getattr(trainer, part).named_parameters())[-1]
        with torch.no_grad():
            weight.view(-1)[0] = torch.nan
        checkpoint.save(path, trainer, ABOUT)
        with pytest.raises(InputError, match=rf"c\.pt: weights hold NaN .*\({name}\)"):
            checkpoint.load(path, self.trainer(), ABOUT)

    def test_full_disk_keeps_the_one_before(self, tmp_path: Path) -> None:
        path = tmp_path / "c.pt"
        trainer = self.trainer()
        checkpoint.save(path, trainer, ABOUT)
        before = path.read_bytes()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
            with pytest.raises(RetryError, match=r"could not be\s+written .*one before is kept"):
                checkpoint.save(path, trainer, ABOUT)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert path.read_bytes() == before
        assert [entry.name for entry in tmp_path.iterdir()] == ["c.pt"]
