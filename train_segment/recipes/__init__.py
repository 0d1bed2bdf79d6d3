"""One frozen dataclass a recipe: what `python -m train_segment NAME` trains, with the values that it starts from."""

from __future__ import annotations

from train_segment.recipe import Recipe
from train_segment.recipes.click_net import ClickNetRecipe
from train_segment.recipes.deepcrop import VARIANTS, DeepCropRecipe
from train_segment.recipes.extractnet import ExtractNetRecipe
from train_segment.recipes.pets import PetsRecipe
from train_segment.recipes.subject import SubjectRecipe
from train_segment.recipes.tiramisu import TiramisuRecipe

RECIPES: dict[str, Recipe] = {
    "click-net": ClickNetRecipe(),
    **{variant: DeepCropRecipe(variant=variant) for variant in VARIANTS},
    "subject": SubjectRecipe(),
    "extractnet": ExtractNetRecipe(),
    "tiramisu": TiramisuRecipe(),
    "pets": PetsRecipe(),
}
