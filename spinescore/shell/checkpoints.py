"""Checkpoint files (``.pth``): read without running what is in them, written as model bundles.

The only place that opens a pickle, and only with torch's ``weights_only`` reader, which knows
tensors and plain containers and refuses everything else.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from spinescore import __version__
from spinescore.core.imaging.preprocessing import PreprocessingSpec
from spinescore.errors import CheckpointError
from spinescore.shell.bundles import Bundle, BundleDescription, write_bundle

if TYPE_CHECKING:
    from spinescore.core.network.checkpoint import ConvertedCheckpoint

LARGEST_BYTES = 4 << 30  # the largest EfficientNet with its optimiser's state takes under 1 GiB
MOST_EXPLAINED_BYTES = 64 << 20  # read into memory: a pickle may claim lengths no file has
MOST_NAMED = 3
NOT_STATED = "not stated"
ZIP_MAGIC = b"PK\x03\x04"
SAVE_AGAIN = (
    "If you trust the file, save the tensors alone with the code that made it: "
    "`torch.save(network.state_dict(), ...)`."
)
COPY_AGAIN = "Copy the checkpoint again and compare its SHA-256 with the original's."
# What torch writes for tensors and plain containers; whatever else a pickle names is something to run.
OF_TENSORS = re.compile(
    r"torch\.(\w*Storage|Tensor|Size|device|bool|b?float\w*|double|half|u?int\w*|long|short)"
    r"|torch\._utils\.\w+|torch\.storage\.\w+|torch\._tensor\.\w+|torch\.nn\.parameter\.\w+"
    r"|torch\.serialization\.\w+|collections\.(OrderedDict|defaultdict|Counter)|_codecs\.encode"
)
# Everything torch's readers were seen to raise on damaged files.
UNREADABLE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    MemoryError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRequest:
    """Which checkpoint becomes which bundle, and what its owner says of it.

    Parameters
    ----------
    checkpoint : Path
        The ``.pth`` file.
    output : Path
        The bundle's folder; must not exist.
    backbone : str, optional
        ``efficientnet-b0`` ... ``efficientnet-b7``; recognised from the tensors if left out.
    first_age : int
        Age of the first class, years; the checkpoint does not say it.
    name, version : str, optional
        Of the model; made of the backbone and of the checkpoint's SHA-256 if left out.
    licence, intended_use, training_data : str
        For people; ``not stated`` if left out.
    """

    checkpoint: Path
    output: Path
    backbone: str | None = None
    first_age: int = 40
    name: str | None = None
    version: str | None = None
    licence: str = NOT_STATED
    intended_use: str = NOT_STATED
    training_data: str = NOT_STATED


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint file holds.

    Parameters
    ----------
    content : object
        Tensors in plain containers.
    sha256 : str
        Of the file.
    """

    content: object
    sha256: str


def import_checkpoint(request: ImportRequest) -> Bundle:
    """Write a checkpoint's network as a one-channel bundle and return it as loaded.

    The same checkpoint and request give the same bundle, byte for byte.

    Raises
    ------
    CheckpointError
        If the file cannot be read safely or is no spine age network, or the output exists.
    """
    from spinescore.core.network.checkpoint import convert_checkpoint

    if request.output.exists() or request.output.is_symlink():
        raise CheckpointError(
            "output_exists", f"{request.output} exists already.", "Name a new folder with --output."
        )
    read = read_checkpoint(request.checkpoint)
    converted = convert_checkpoint(read.content, backbone=request.backbone, first_age=request.first_age)
    description = describe_import(request, converted, read.sha256)
    return write_bundle(
        request.output,
        description,
        PreprocessingSpec(),
        {name: tensor.numpy() for name, tensor in converted.weights.items()},
        training_subjects=None,
        model_card=write_import_card(description),
    )


def read_checkpoint(path: Path, *, largest_bytes: int = LARGEST_BYTES) -> Checkpoint:
    """Read a ``.pth`` file without running anything that is in it.

    Parameters
    ----------
    path : Path
        As ``torch.save`` wrote it, the zip format or the older one.
    largest_bytes : int
        A larger file, or one that unpacks to more, is refused unread.

    Raises
    ------
    CheckpointError
        ``no_file``, ``too_large``, ``code``, ``truncated`` or ``not_a_checkpoint``.
    """
    if not path.is_file():
        what = "is a folder, not a checkpoint" if path.is_dir() else "is not there, or is no file"
        raise CheckpointError("no_file", f"{path} {what}.", "Give the path of a `.pth` file.")
    try:
        with path.open("rb") as file:
            _refuse_size(path.stat().st_size, largest_bytes)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            if file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
                _check_zip(file, largest_bytes)
            return Checkpoint(_load(file), digest)
    except OSError as error:
        raise CheckpointError(
            "no_file", f"{path} cannot be read: {error.strerror}.", "Check its permissions."
        ) from error


def describe_import(request: ImportRequest, converted: ConvertedCheckpoint, sha256: str) -> BundleDescription:
    """Return what the manifest will say of an imported network."""
    return BundleDescription(
        name=request.name or f"imported-{converted.backbone}",
        version=request.version or sha256[:12],
        intended_use=request.intended_use,
        licence=request.licence,
        backbone=converted.backbone,
        first_age=request.first_age,
        n_classes=converted.n_classes,
        age_range=None,
        training_data=request.training_data,
        synthetic=False,
        metrics={},
        origin={
            "checkpoint_sha256": sha256,
            "input_channels": converted.input_channels,
            "stored_as": converted.stored_as,
        },
        made_by=f"spinescore {__version__}",
    )


def write_import_card(description: BundleDescription) -> str:
    """Return the model card of an imported network, Markdown: what is known of it, and what is not."""
    origin = description.origin or {}
    last_age = description.first_age + description.n_classes - 1
    folded = (
        "Its stem took three equal channels; the kernel was summed over them, so that it takes one."
        if origin.get("input_channels") == 3
        else "Its stem takes one channel, as it was saved."
    )
    lines = [
        f"# {description.name} {description.version}",
        "",
        f"Imported from a checkpoint by {description.made_by}. Nothing here was measured by this program.",
        "",
        f"- Intended use: {description.intended_use}",
        f"- Licence: {description.licence}",
        f"- Trained on: {description.training_data}",
        f"- Network: {description.backbone} -> 100 -> 100 -> {description.n_classes} ages.",
        f"- Checkpoint: SHA-256 {origin.get('checkpoint_sha256')}, stored as {origin.get('stored_as')}. "
        f"{folded}",
        "",
        "## What is not known",
        "",
        f"- **Which ages its outputs stand for.** Ages {description.first_age} to {last_age} is what was "
        "said at import; the checkpoint does not hold it. If it is wrong, every age is off by as much.",
        "- **Which images it was trained on**, at which ages, from which devices: compare ages on cases of "
        "your own before you rely on any.",
        "- **Whom it was trained on.** No overlap between its training and your subjects can be found.",
        "- **Its preprocessing.** The published study's is assumed (1024 x 512, equalised; the manifest "
        "has every parameter), with this program's reading where the study leaves a choice.",
        "- **The padding it was trained with**, which no checkpoint holds: that of `efficientnet_pytorch` "
        "for the backbone's own image size is assumed, as the study's public code builds it.",
        "- **Its accuracy**, by kind of image, sex, age or manufacturer; nor does it come with a correction.",
        "",
    ]
    return "\n".join(lines)


def _refuse_size(size_bytes: int, largest_bytes: int) -> None:
    if size_bytes > largest_bytes:
        sizes = f"{size_bytes:,} bytes, more than {largest_bytes:,}"
        raise CheckpointError(
            "too_large",
            f"The checkpoint takes {sizes}.",
            "No EfficientNet is that large; save its state dict alone.",
        )


def _check_zip(file: IO[bytes], largest_bytes: int) -> None:
    """Refuse what torch would not notice: deflated bombs, flipped bits; and TorchScript, which is code."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            _refuse_size(sum(member.file_size for member in members), largest_bytes)
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise CheckpointError(
                    "not_a_checkpoint",
                    "The file is a compressed zip, which torch does not write.",
                    "Unpack it and pass the `.pth` file in it.",
                )
            names = {member.filename.rpartition("/")[2] for member in members}
            if "constants.pkl" in names:
                raise CheckpointError("code", "The file is a TorchScript program, not weights.", SAVE_AGAIN)
            if "data.pkl" not in names:
                raise CheckpointError(
                    "not_a_checkpoint",
                    "The file is a zip, but none that torch wrote.",
                    "Give the `.pth` file of a network's state dict.",
                )
            damaged = archive.testzip()
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(
            "truncated", f"The checkpoint is cut short or damaged: {error}.", COPY_AGAIN
        ) from error
    if damaged is not None:
        raise CheckpointError(
            "truncated", f"The checkpoint is damaged: {damaged} is not what was written.", COPY_AGAIN
        )


def _load(file: IO[bytes]) -> object:
    """Read with torch's restricted reader; on refusal, look at the pickle, without running it, for why."""
    import torch

    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on pickle protocols and old storages: it reads or it raises
            return torch.load(file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise _explain(file, error) from error


def _explain(file: IO[bytes], error: BaseException) -> CheckpointError:
    foreign = sorted({name for name in _named_globals(file) if not OF_TENSORS.fullmatch(name)})
    if foreign:
        more = f" and {len(foreign) - MOST_NAMED} more" if len(foreign) > MOST_NAMED else ""
        return CheckpointError(
            "code",
            "The checkpoint holds code to run or objects to build, not only tensors: "
            f"{', '.join(foreign[:MOST_NAMED])}{more}. Nothing of it was run.",
            SAVE_AGAIN,
        )
    if isinstance(error, EOFError) or "unexpected EOF" in str(error) or _starts_as_torch(file):
        return CheckpointError("truncated", "The checkpoint is cut short or damaged.", COPY_AGAIN)
    return CheckpointError(
        "not_a_checkpoint",
        "The file is no checkpoint that torch can read.",
        "Give the `.pth` file of a network's state dict.",
    )


def _starts_as_torch(file: IO[bytes]) -> bool:
    """Tell whether a file begins with the magic number of torch's older format."""
    from torch.serialization import MAGIC_NUMBER

    file.seek(0)
    return file.read(64).startswith(pickle.dumps(MAGIC_NUMBER, protocol=2)[:-1])


def _named_globals(file: IO[bytes]) -> Iterator[str]:
    """Yield ``module.name`` of everything a checkpoint's pickles name, by reading their opcodes."""
    file.seek(0)
    if file.read(len(ZIP_MAGIC)) != ZIP_MAGIC:
        file.seek(0)
        yield from _globals_of(io.BytesIO(file.read(MOST_EXPLAINED_BYTES)))
        return
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            if member.endswith(".pkl"):
                with archive.open(member) as pickled:
                    yield from _globals_of(io.BytesIO(pickled.read(MOST_EXPLAINED_BYTES)))


def _globals_of(pickled: IO[bytes]) -> Iterator[str]:
    """Yield the globals of one pickle after another, until what follows is none (or tensors' bytes)."""
    texts: list[str] = []
    memo: dict[int, str] = {}
    try:
        while True:
            texts.clear()
            memo.clear()
            for opcode, argument, _ in pickletools.genops(pickled):
                if opcode.name in ("GLOBAL", "INST"):
                    yield ".".join(str(argument).split(" "))
                elif opcode.name == "STACK_GLOBAL":
                    yield ".".join(texts[-2:])
                else:
                    _follow_text(opcode.name, argument, texts, memo)
    except (ValueError, EOFError, LookupError, OverflowError, zipfile.BadZipFile):
        return


def _follow_text(opcode: str, argument: Any, texts: list[str], memo: dict[int, str]) -> None:
    """Keep the texts in the order a pickle pushes them: the last two are what STACK_GLOBAL takes."""
    if opcode == "MEMOIZE":
        memo[len(memo)] = texts[-1] if texts else ""
    elif opcode in ("BINPUT", "LONG_BINPUT", "PUT"):
        memo[argument] = texts[-1] if texts else ""
    elif opcode in ("BINGET", "LONG_BINGET", "GET"):
        texts.append(memo.get(argument, "?"))
    elif isinstance(argument, str):
        texts.append(argument)
