"""A recipe without torch, for tests: `python -m tests.training.fake_recipe MODE RUN_DIR`.

quick: three steps, succeeds. slow: up to 400 steps, a checkpoint every five, obeys a stop. deaf:
obeys neither the file nor SIGTERM. loading: never gets further. lingers: as quick, but does not
end. fail: says why. crash: ends without a result."""

import json
import signal
import sys
import time
from pathlib import Path

from training.recipes.run_dir import RunDir

STEPS = {"loading": 0, "lingers": 3, "quick": 3, "slow": 400, "deaf": 400, "fail": 2, "crash": 2}


def main() -> int:
    mode, run = sys.argv[1], RunDir(sys.argv[2])
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        run.catch_sigterm()
    print("the log begins", flush=True)
    if mode == "loading":
        run.progress(0, 0, "loading")
        time.sleep(600)
    done = [int(path.name[5:]) for path in run.checkpoints.glob("step-*")]
    first = max(done, default=0)
    if first:
        run.event("state", first, state="resumed")
    total = STEPS[mode]
    for step in range(first + 1, total + 1):
        run.metrics(step, loss=4.0 / step, learning_rate=1e-4)
        run.progress(step, total, "training", (total - step) * 0.05)
        if mode != "quick":
            time.sleep(0.05)
        if step % 5 == 0:
            (run.checkpoints / f"step-{step}").mkdir(parents=True, exist_ok=True)
        if run.stop_requested and mode != "deaf":
            (run.checkpoints / f"step-{step}").mkdir(parents=True, exist_ok=True)
            run.finish("stopped", "asked to")
            return 0
    if mode == "crash":
        return 3
    if mode == "fail":
        run.finish("failed", "The loss became NaN at step 2.")
        return 1
    run.artifact.mkdir(exist_ok=True)
    (run.artifact / "annotune.json").write_text("{}")
    if "prompts" in run.inputs:
        lines = Path(run.input_path("prompts")).read_text().splitlines()
        keys = [json.loads(line)["key"] for line in lines]
        answers = [json.dumps({"key": key, "text": f"An answer to {key}."}) for key in keys]
        (run.artifact / "answers.jsonl").write_text("\n".join(answers))
    run.finish(
        "succeeded",
        metrics={"before": {"loss": 2.5, "rows": 4}, "after": {"loss": 1.5, "rows": 4}},
        samples=[{"prompt": "Hello?", "before": "No <b>idea</b>.", "after": "Hi!"}] * 3,
        artifact={"kind": "adapter", "sha256": "ab" * 32},
        trainable_share=0.018,
    )
    if mode == "lingers":
        time.sleep(600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
