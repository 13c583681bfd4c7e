"""scores import and export: rows in, rows out; what is wrong is refused whole; imported ages go all the way."""

from __future__ import annotations

import csv
import json
import stat
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from spinescore.cli import app
from spinescore.core.score_table import ScoreTable
from spinescore.core.statistics.estimate import NotEstimable
