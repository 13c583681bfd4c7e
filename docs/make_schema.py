"""Write docs/study.schema.json from the study file's own sections: ``python docs/make_schema.py``."""

from __future__ import annotations

import json
from pathlib import Path

from spinescore.study.schema import SCHEMA_FILE, study_schema

if __name__ == "__main__":
    text = json.dumps(study_schema(), ensure_ascii=False, indent=2) + "\n"
    (Path(__file__).parent / SCHEMA_FILE).write_text(text, encoding="utf-8")
