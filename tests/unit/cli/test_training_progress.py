"""How training says how far it is."""

from __future__ import annotations

import pytest

from spinescore.cli.console import Output
from spinescore.cli.training_progress import Clock, describe_epoch, watch_training
from spinescore.core.network.training_plan import Progressed

LINE = {
    "epoch": 2,
    "train": {"total": 3.21},
    "validation": {"all": {"mae_years": 4.567, "r": 0.91}},
    "seconds": 12.3,
}


def progressed(before: float, done: float) -> Progressed:
    return Progressed(epoch=2, n_epochs=10, step=1, n_steps=4, n_images=8, work_before=before, work_done=done)


def test_an_epoch_is_a_line_with_the_time_that_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    assert describe_epoch(LINE, 150.0) == (
        "epoch   3: loss 3.210, validation MAE 4.57 years, r 0.910, 12 s, about 3 min left"
    )
    with watch_training(Output()) as listener:
        listener.advance(progressed(0.2, 0.3))
        listener.announce(LINE)
    assert capsys.readouterr().out.startswith("epoch   3: loss 3.210, validation MAE 4.57 years")


def test_machines_and_quiet_people_are_told_nothing_on_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    for output in (Output(as_json=True), Output(quiet=True)):
        with watch_training(output) as listener:
            listener.announce(LINE)
    assert capsys.readouterr().out == ""


def test_the_time_left_of_a_resumed_run_is_judged_by_what_was_done_since() -> None:
    clock = Clock(began_s=-100.0)  # long ago
    clock.read(progressed(0.8, 0.85))
    clock.read(progressed(0.85, 0.9))
    assert clock.seconds_left is not None
    passed = clock.images / clock.images_per_second
    assert clock.seconds_left == pytest.approx(passed, rel=0.01)  # a tenth done, a tenth to do


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with watch_training(Output()) as listener:
        listener.advance(progressed(0.2, 0.3))
        listener.announce(LINE)
    shown = capsys.readouterr().out
    assert "epoch 3 of 10" in shown
    assert "images/s" in shown
    assert "validation MAE 4.57 years" in shown
