"""Lightning's loop counters, brought into the one state from which it resumes exactly: between two batches."""

from typing import Any

from lightning.pytorch.loops import _FitLoop


def count_steps(fit_loop: _FitLoop, batches: int) -> None:
    """Makes `trainer.global_step` the number of batches, whoever moved (Lightning counts each optimizer, #17958)."""
    progress = fit_loop.epoch_loop.manual_optimization.optim_step_progress
    for counter in (progress.total, progress.current):
        counter.ready = counter.completed = batches


def rewind_to_batch_boundary(fit_loop: dict[str, Any], batches: int, epoch_length: float) -> None:
    """Rewrites a saved state of the fit loop as if `batches` batches were done and nothing else had begun.

    Lightning saves from within hooks, in the middle of its own book-keeping. From some of these states it resumes one
    batch off, ends at once (after the last batch of an epoch) or leaves out a validation (the tests go through all).

    Args:
        fit_loop: `checkpoint["loops"]["fit_loop"]`, changed in place.
        batches: Batches that were trained on, over all epochs.
        epoch_length: Batches of an epoch; infinite for an endless loader.
    """
    epochs, current = (0, batches) if epoch_length == float("inf") else divmod(batches, int(epoch_length))
    batch_progress = fit_loop["epoch_loop.batch_progress"]
    batch_progress["total"] = dict.fromkeys(batch_progress["total"], batches)
    batch_progress["current"] = dict.fromkeys(batch_progress["current"], current)
    batch_progress["is_last_batch"] = False

    begun = epochs + (current > 0)
    for progress in (fit_loop["epoch_progress"]["total"], fit_loop["epoch_progress"]["current"]):
        progress.update(ready=begun, started=begun, processed=epochs, completed=epochs)

    validation = fit_loop["epoch_loop.val_loop.batch_progress"]
    validation["total"] = dict.fromkeys(validation["total"], 0)
    validation["current"] = dict.fromkeys(validation["current"], 0)

    # A batch that was handed out but not yet trained on is handed out again.
    for loader in fit_loop["state_dict"].get("combined_loader", []):
        loader["batches"] = batches
