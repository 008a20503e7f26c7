"""The model card: what was trained, from what, on what, how well, how to use it, and what it does not claim."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from zoo.config.recipe import Recipe
from zoo.config.source_ref import SourceRef
from zoo.plugins import OWN
from zoo.tasks.metrics_table import measured

BEGIN, END = (
    "<!-- zoo: from here on written by zoo push -->",
    "<!-- zoo: up to here; add your own text above or below -->",
)
GPU_WATTS, CORE_WATTS = 400, 10
"""Assumed power of a GPU, and of a processor core where no GPU was used."""


def model_card(
    config: Mapping[str, Any],
    recipe: Recipe | None = None,
    metrics: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    repo: str | None = None,
) -> str:
    """Markdown with YAML front matter, quoted by huggingface_hub. Says of what is None that it is not known.

    config: of the model folder; metrics: of the test split, as in `metrics.json`; environment: as in
    `environment.json`; repo: `user/name` on the Hub, None for a folder on disk.
    """
    about = config.get("zoo", {})
    parts = [
        f"# {_plain((repo or about['backbone']).rpartition('/')[2])}",
        _summary(about, recipe, metrics),
        _results(metrics, recipe, _pictures(about) if repo else {}),
        _use(about, repo),
        _classes(about["classes"], "Labels" if _has_labels(about) else "Classes"),
        _training(about, recipe, metrics, environment),
        LIMITS_OF_LABELS if _has_labels(about) else LIMITS,
    ]
    text = "\n\n".join(part for part in parts if part)
    return f"---\n{_header(about, recipe, metrics, repo).to_yaml()}\n---\n{BEGIN}\n{text}\n{END}\n"


LIMITS = """## Limits

The classifier knows the classes above and no others: every picture is given one of them, however little it resembles it.
Its figures hold for the split they were measured on; nothing is claimed for other pictures, groups of people or uses."""


LIMITS_OF_LABELS = """## Limits

The classifier knows the labels above and no others. Each label is decided by itself: a picture may be given several, or none.
Its figures hold for the split they were measured on; nothing is claimed for other pictures, groups of people or uses."""


def _has_labels(about: Mapping[str, Any]) -> bool:
    """Whether a picture may be given several labels."""
    return about.get("task") == "multilabel"


def merged(card: str, existing: str) -> str:
    """`card` with what others wrote into an `existing` one: text outside zoo's part, and header keys that zoo does not set."""
    header, text = _split(existing.replace("\r\n", "\n"))
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        before, after = "", f"\n{text.strip()}\n" if text.strip() else "\n"
    ours, body = _split(card)[0], card[card.index(BEGIN) : card.index(END) + len(END)]
    kept = {key: value for key, value in header.items() if key not in ours}
    if ours.get("license") == "unknown" and header.get("license"):
        kept["license"] = header["license"]
    data = ModelCardData(**{**ours, **kept}, ignore_metadata_errors=True)
    return f"---\n{data.to_yaml()}\n---\n{before}{body}{after}"


def _split(card: str) -> tuple[dict[str, Any], str]:
    """Header and text; a header that cannot be read is none."""
    found = re.match(r"---\n(.*?)\n---(?:\n|\Z)", card, flags=re.S)
    if not found:
        return {}, card
    try:
        header = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        header = None
    return (header if isinstance(header, dict) else {}), card[found.end() :]


def _header(
    about: Mapping[str, Any], recipe: Recipe | None, metrics: Mapping[str, Any] | None, repo: str | None
) -> ModelCardData:
    bases = about.get("base", [])
    hub_bases = [base["hub_id"] for base in bases if base.get("hub_id")]
    source = SourceRef.recorded(recipe.data.source) if recipe else None
    results = _eval_results(metrics, source) if metrics and source else None
    return ModelCardData(
        library_name="timm" if about.get("timm") == "model" else "timm-zoo",
        license=licence(bases) or "unknown",
        base_model=hub_bases or None,
        pipeline_tag="image-classification",
        tags=["image-classification", *(["multi-label"] if _has_labels(about) else []), "timm", "timm-zoo"],
        datasets=[source.hub_id] if source and source.hub_id else None,
        metrics=_hub_names(metrics) if metrics else None,
        model_name=(repo or about["backbone"]).rpartition("/")[2] if results else None,
        eval_results=results,
    )


def _hub_names(metrics: Mapping[str, Any]) -> list[str]:
    """The Hub's names of what was measured, each once; a loss is no name that others know."""
    return list(dict.fromkeys(row.hub_name for row, _ in measured(metrics) if row.higher_is_better))


def _eval_results(metrics: Mapping[str, Any], source: SourceRef) -> list[EvalResult]:
    """The Hub's model-index: every metric of the test split."""
    return [
        EvalResult(
            task_type="image-classification",
            dataset_type=source.hub_id or "image-folder",
            dataset_name=source.shown(),
            dataset_split="test",
            metric_type=row.hub_name,
            metric_name=row.name,
            metric_value=value,
        )
        for row, value in measured(metrics)
    ]


def licence(bases: Sequence[Mapping[str, Any]]) -> str | None:
    """The licence of the weights that training started from, None where one of them is not known."""
    licences = {base.get("license") for base in bases}
    return licences.pop() if len(licences) == 1 else None


def _summary(about: Mapping[str, Any], recipe: Recipe | None, metrics: Mapping[str, Any] | None) -> str:
    names = (
        " beside ".join(f"`{_plain(base['name'])}`" for base in about.get("base", []))
        or f"`{_plain(about['backbone'])}`"
    )
    kind = "labels, of which a picture may have any number" if _has_labels(about) else "classes"
    text = f"An image classifier with {len(about['classes']):,} {kind}: {names} with the head `{_plain(about['head']['name'].removeprefix('timm-zoo:'))}`"
    if recipe is None:
        return f"{text}."
    epochs = (metrics or {}).get("epochs", recipe.train.epochs)
    schedule, source = _plain(recipe.schedule.name), _plain(SourceRef.recorded(recipe.data.source).shown())
    return f"{text}, fine-tuned on `{source}` with the schedule `{schedule}` for {epochs} epochs."


def _own(name: str) -> str:
    """A part's name, without the owner where that is the zoo."""
    return name.removeprefix(f"{OWN}:")


def _pictures(about: Mapping[str, Any]) -> dict[str, str]:
    """Title and file of each picture that a push draws; labels that do not exclude each other are not confused."""
    confusion = {} if _has_labels(about) else {"Confusion matrix": "confusion.png"}
    return {**confusion, "Training curves": "curves.png"}


def _results(metrics: Mapping[str, Any] | None, recipe: Recipe | None, pictures: Mapping[str, str]) -> str:
    if metrics is None:
        return "## Results\n\nNothing is known about how well it does: no measurement came with the model."
    rows = "\n".join(f"| {row.name} | {value:.4f} |" for row, value in measured(metrics))
    shown = "".join(f"\n\n![{title}]({file})" for title, file in pictures.items())
    source = f" of `{_plain(SourceRef.recorded(recipe.data.source).shown())}`" if recipe else ""
    return f"## Results\n\nMeasured on {metrics['images']:,} test images{source}, each once:\n\n| metric | value |\n|---|---|\n{rows}{shown}"


def _use(about: Mapping[str, Any], repo: str | None) -> str:
    name, local = f"hf-hub:{repo}" if repo else "PATH", f"hf-hub:{repo}" if repo else "local-dir:PATH"
    forms = [
        f'```python\nimport zoo\nclassifier = zoo.load("{name}")\nprobabilities = classifier(["picture.jpg"])\n```',
        f"```console\n$ zoo predict {name} picture.jpg\n```",
    ]
    match about.get("timm"):
        case "model":
            forms.append(
                f'```python\nimport timm\nmodel = timm.create_model("{local}", pretrained=True).eval()  # logits, by plain timm\n```'
            )
        case "features":
            forms.append(
                f'```python\nimport timm\nbackbone = timm.create_model("{local}", pretrained=True, num_classes=0).eval()\n```\n\n'
                "Plain timm gives the backbone's features; the head is zoo's."
            )
        case _:
            forms.append("Plain timm cannot load it: its backbone is cut, several side by side, or none of timm's.")
    return "## Use\n\n" + "\n\n".join(forms)


def _classes(classes: Sequence[str], title: str) -> str:
    shown = ", ".join(_plain(c) for c in classes[:50]) + (f" and {len(classes) - 50} more" if len(classes) > 50 else "")
    return f"## {title}\n\n{shown}"


def _training(
    about: Mapping[str, Any],
    recipe: Recipe | None,
    metrics: Mapping[str, Any] | None,
    environment: Mapping[str, Any] | None,
) -> str:
    lines = [f"- Weights at the start: {_origin(base)}." for base in about.get("base", [])]
    if recipe is not None:
        lines.append("- Recipe: `recipe.yaml`, every key; run it again with `zoo finetune --recipe recipe.yaml`.")
    if environment is not None:
        lines.append(f"- Hardware: {_plain(hardware(environment))}.")
    if environment is not None and metrics and "seconds" in metrics:
        lines.append(
            f"- Time: {metrics['seconds'] / 60:.1f} minutes. Energy: {_energy(environment, metrics['seconds'])}."
        )
    return "## Training\n\n" + "\n".join(lines) if lines else ""


def _origin(base: Mapping[str, Any]) -> str:
    """Where the weights came from and under which licence, or that this is not known."""
    if base.get("weights") == "random":
        return f"random (`{_plain(base['name'])}` was not pretrained)"
    terms = f"licence {_plain(base['license'])}" if base.get("license") else "their licence is not known"
    return f"`{_plain(base.get('hub_id') or base['name'])}`, {terms}"


def hardware(environment: Mapping[str, Any]) -> str:
    """The device of a run in words."""
    device = environment.get("device", {})
    gpus = device.get("gpus")
    where = f"{len(gpus)} x {gpus[0]}" if gpus else f"{device.get('cores', '?')} CPU cores"
    return f"{where}, {environment.get('precision', 'fp32')}"


def _energy(environment: Mapping[str, Any], seconds: float) -> str:
    device = environment.get("device", {})
    gpus, cores = len(device.get("gpus", [])), device.get("cores") or 1
    watts = gpus * GPU_WATTS or cores * CORE_WATTS
    each = f"{GPU_WATTS} W a GPU" if gpus else f"{CORE_WATTS} W a core"
    return f"about {seconds / 3600 * watts:.1f} Wh (an estimate, assuming {each})"


def _plain(text: str) -> str:
    """Text that Markdown and HTML show as it is, on one line."""
    text = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "`*[]|\\" else c for c in text)
