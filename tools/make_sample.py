"""Makes `zoo/samples/fashion-mnist`: a stratified part of Fashion-MNIST that installs with the zoo.

python tools/make_sample.py FOLDER    where FOLDER holds the data set's parquet files in the Hub's layout
"""

import sys
from pathlib import Path

import numpy as np
from datasets import load_dataset

from zoo.data.split import stratified

TARGET = Path(__file__).parents[1] / "zoo" / "samples" / "fashion-mnist"
SEED = 0


def main(source: str) -> None:
    splits = load_dataset("parquet", data_files={s: f"{source}/{s}-*.parquet" for s in ("train", "test")})
    labels = {name: np.asarray(split["label"]) for name, split in splits.items()}
    both = stratified(labels["train"], 2500, SEED)
    validation = both[stratified(labels["train"][both], 500, SEED)]
    rows = {
        "train": np.setdiff1d(both, validation),
        "validation": validation,
        "test": stratified(labels["test"], 1500, SEED),
    }
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, indices in rows.items():
        part = splits["test" if name == "test" else "train"].select(indices)
        part.to_parquet(TARGET / f"{name}-00000-of-00001.parquet")
        print(
            f"{name}: {len(part)} images, {np.bincount(labels['test' if name == 'test' else 'train'][indices]).tolist()}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
