"""Run Lightning's trainer over the epochs that are left; watch it, and let it be interrupted."""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.strategies import DDPStrategy
from torch.multiprocessing import get_context
from torch.multiprocessing.spawn import ProcessRaisedException

from spinescore.core.network.training_plan import list_epochs
from spinescore.errors import TrainingError
from spinescore.shell.training.checkpoint_io import SafetensorsIO
from spinescore.shell.training.lightning_module import InterruptedTraining, SpineAgeTraining
from spinescore.shell.training.position import CHECKPOINT
from spinescore.shell.training.request import Hardware

GRADIENT_NORM = 20.0  # the mean loss grows with the square of the error: tame the first steps
PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
LOUD = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")


def fit_network(module: SpineAgeTraining, hardware: Hardware) -> None:
    """Train a module to the end of its recipe, or until patience is over.

    Raises
    ------
    TrainingError
        If the hardware asked for is not there, or a process fails.
    KeyboardInterrupt
        If it is told to stop (SIGINT, SIGTERM); the checkpoint holds everything.
    """
    checkpoint = module.recipe.work / CHECKPOINT
    listen = module.listen
    with _quiet(), _relayed(module, hardware), _interruptible(module, hardware):
        trainer = _make_trainer(module, hardware)
        try:
            trainer.fit(module, ckpt_path=checkpoint if checkpoint.exists() else None, weights_only=True)
        except (InterruptedTraining, SystemExit) as stop:
            raise KeyboardInterrupt from stop
        except ProcessRaisedException as error:
            last = str(error).strip().splitlines()[-1]
            raise TrainingError(
                f"A training process failed: {last}", "The same command goes on from the last checkpoint."
            ) from error
        finally:
            module.listen = listen
            _end_processes(trainer)


def check_hardware(hardware: Hardware) -> None:
    """Refuse what this machine cannot do.

    Raises
    ------
    TrainingError
        With what to say instead.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if hardware.accelerator == "gpu" and hardware.devices > gpus:
        raise TrainingError(
            f"{hardware.devices} GPU(s) are asked for; torch finds {gpus}.",
            "Set `devices` or `accelerator` in [train], or install torch with CUDA.",
        )
    if hardware.precision == "16" and not is_on_gpu(hardware):
        raise TrainingError(
            'precision = "16" needs a GPU: float16 is emulated on processors.',
            'Set precision = "bf16" or "32" in [train].',
        )
    if hardware.devices > 1 and hardware.accelerator == "auto" and 0 < gpus < hardware.devices:
        raise TrainingError(
            f"devices = {hardware.devices}, but there are {gpus} GPU(s).", "Lower `devices` in [train]."
        )


def is_on_gpu(hardware: Hardware) -> bool:
    """Tell whether training happens on a GPU."""
    return hardware.accelerator != "cpu" and torch.cuda.is_available()


def _end_processes(trainer: Trainer) -> None:
    """Let no process train on after the one that started it has stopped."""
    processes = getattr(trainer.strategy.launcher, "procs", ())
    for process in processes:
        if process.is_alive():
            process.kill()
            process.join()


def _in_processes(hardware: Hardware) -> bool:
    return hardware.devices > 1 or hardware.strategy == "ddp"


def _make_trainer(module: SpineAgeTraining, hardware: Hardware) -> Trainer:
    several = _in_processes(hardware)
    on_gpu = is_on_gpu(hardware)
    strategy: Any = "auto"
    if several:
        strategy = DDPStrategy(start_method="spawn", process_group_backend="nccl" if on_gpu else "gloo")
    epochs_left = len(list_epochs(module.recipe.stages)) - module.position.epoch
    return Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=hardware.devices,
        strategy=strategy,
        precision=PRECISIONS[hardware.precision],  # type: ignore[arg-type]
        max_epochs=epochs_left,
        accumulate_grad_batches=module.recipe.accumulate,
        gradient_clip_val=GRADIENT_NORM,
        sync_batchnorm=several and on_gpu,
        use_distributed_sampler=False,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        plugins=[SafetensorsIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=str(module.recipe.work),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice to itself; errors still come through."""
    loggers = [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning\.")
            warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Sender:
    """What a process of several tells the one that started it; picklable."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def __call__(self, event: str, content: Any) -> None:
        if torch.distributed.get_rank() == 0:
            self.queue.put((event, content))


@contextmanager
def _relayed(module: SpineAgeTraining, hardware: Hardware) -> Iterator[None]:
    """Where training happens in other processes, bring what they say to the listener here."""
    if not _in_processes(hardware):
        yield
        return
    queue, listen = get_context("spawn").SimpleQueue(), module.listen

    failures: list[Exception] = []

    def relay() -> None:
        while (said := queue.get()) is not None:
            try:
                listen(*said)
            except Exception as failure:  # noqa: BLE001 - raised below; a full queue would halt training
                failures.append(failure)

    thread = threading.Thread(target=relay, daemon=True)
    module.listen = _Sender(queue)
    thread.start()
    try:
        yield
    finally:
        queue.put(None)
        thread.join()
    if failures:
        raise failures[0]


@contextmanager
def _interruptible(module: SpineAgeTraining, hardware: Hardware) -> Iterator[None]:
    """Let the first SIGINT or SIGTERM end training after the step at hand, and the second at once.

    Several processes end at once: the signal reaches each of them in another step.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def request(*_: Any) -> None:
        if module.stop_requested:
            raise KeyboardInterrupt
        module.stop_requested = True

    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}
    for number in () if _in_processes(hardware) else signals:
        signal.signal(number, request)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
