"""NetCDF files: the one writer and the one verified reader of all files.

Every file is written under a temporary name, sealed and then renamed. Every reader verifies the seal before HDF5 sees a
byte.

Text is stored as UTF-8 characters of a fixed width (`hornlib.results.text`). Files with NC_STRING are still read.

HDF5's file locks are switched off. File systems without `flock` refuse them (ENOLCK, EINVAL, ENOTSUPP, ...), and they
protect nothing here: every file is written under a temporary name and then renamed. HDF5 reads the setting when netCDF4
is imported, so this module imports netCDF4 late, and no other module of the library imports it.
"""

import hashlib
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from hornlib.errors import ResultsError
from hornlib.results.atomic import written_atomically
from hornlib.results.declaration import Variable
from hornlib.results.file_kind import FileKind, check_version, provenance
from hornlib.results.seal import read_sealed, seal
from hornlib.results.text import ENCODING, characters_of, text_of, with_plain_text

if TYPE_CHECKING:
    import netCDF4
    import xarray as xr

__all__ = [
    "StoredArrays",
    "add_variable",
    "check_unsealed",
    "copy_with_attributes",
    "digest",
    "load_dataset",
    "load_groups",
    "new_file",
    "read_any_version",
    "read_arrays",
    "write_arrays",
    "write_dataset",
    "write_groups",
]

os.environ["HDF5_USE_FILE_LOCKING"] = "FALSE"


class StoredArrays(NamedTuple):
    """Everything that a file of one group holds.

    Attributes:
        variables: name -> array; text as `str` arrays.
        attributes: global attributes.
    """

    variables: dict[str, np.ndarray]
    attributes: dict[str, Any]


def digest(variables: Mapping[str, np.ndarray]) -> str:
    """Return a SHA-256 over names, shapes and values.

    Args:
        variables: name -> array of any shape, (..). The order of the names does not matter.
    """
    hashed = hashlib.sha256()
    for name in sorted(variables):
        values = variables[name]
        is_text = values.dtype.kind in "OU"
        hashed.update(f"{name} {values.shape}".encode())
        hashed.update("\n".join(map(str, values.flat)).encode() if is_text else values.tobytes())
    return hashed.hexdigest()


@contextmanager
def new_file(path: Path, overwrite: bool = True) -> Iterator["netCDF4.Dataset"]:
    """Give a new netCDF file; when the block ends, the file gets its seal and its name.

    Args:
        path: the file.
        overwrite: whether an existing file is replaced; otherwise it is an error.

    Raises:
        ResultsError: the disk is full or cannot be written, or the file exists and must not be replaced.
    """
    import netCDF4

    with (
        _sealed_atomically(path, overwrite) as temporary,
        _errors_of_netcdf4_as_os_errors(),
        netCDF4.Dataset(temporary, "w") as file,
    ):
        yield file


def add_variable(
    file: "netCDF4.Dataset", name: str, declared: Variable, values: np.ndarray, **storage: Any
) -> None:
    """Write one variable, and the dimensions that the file does not have yet.

    Args:
        file: open for writing.
        name: of the variable.
        declared: its dimensions and attributes.
        values: numbers, bool (stored as int8 that says so) or text, of the shape of the dimensions.
        storage: options of `netCDF4.Dataset.createVariable`, e.g. compression.
    """
    attributes, dims = declared.netcdf_attributes(), declared.dims
    fill_value = np.nan if values.dtype.kind == "f" else None
    if values.dtype.kind in "OU":
        values = characters_of(values)
        dims = (*dims, f"string{values.shape[-1]}")
        if "chunksizes" in storage:
            storage["chunksizes"] = (*storage["chunksizes"], values.shape[-1])
        attributes["_Encoding"] = ENCODING
    elif values.dtype == bool:
        values = values.astype("i1")
        attributes["dtype"] = "bool"
    for dimension, length in zip(dims, values.shape, strict=True):
        if dimension not in file.dimensions:
            file.createDimension(dimension, length)
    variable = file.createVariable(name, values.dtype, dims, fill_value=fill_value, **storage)
    variable.set_auto_chartostring(False)
    variable.setncatts(attributes)
    variable[...] = values


def write_arrays(
    path: Path,
    variables: Mapping[str, np.ndarray],
    declared: Mapping[str, Variable],
    attributes: Mapping[str, Any],
    overwrite: bool = True,
    **storage: Any,
) -> None:
    """Write arrays and attributes, whole or not at all.

    Args:
        path: the file.
        variables: name -> array. Its shape follows the dimensions in `declared`, e.g. (seed, step).
        declared: dimensions and attributes of every variable, by name.
        attributes: global attributes, `schema_version` among them.
        overwrite: as in `new_file`.
        storage: as in `add_variable`, for variables of numbers.

    Raises:
        ResultsError: the disk is full or cannot be written, or the file exists and must not be replaced.
    """
    with new_file(path, overwrite) as file:
        for name, values in variables.items():
            add_variable(
                file, name, declared[name], values, **(storage if values.dtype.kind in "fiu" else {})
            )
        file.setncatts({**attributes, "digest": digest(variables)})  # hornlib 0.2 refuses files without it


def copy_with_attributes(source: Path, target: Path, kind: FileKind, attributes: Mapping[str, Any]) -> None:
    """Copy a file and change global attributes of the copy.

    Args:
        source: the file; it stays unchanged.
        target: the copy, which is written whole or not at all.
        kind: the expected kind.
        attributes: their new values, by name.

    Raises:
        ResultsError: the file is missing or damaged, or the copy cannot be written.
    """
    import netCDF4

    content = read_sealed(source, kind)
    with _sealed_atomically(target) as temporary, _errors_of_netcdf4_as_os_errors():
        temporary.write_bytes(content)
        with netCDF4.Dataset(temporary, "a") as file:
            file.setncatts(attributes)


def read_arrays(path: Path, kind: FileKind) -> StoredArrays:
    """Read a file into memory, and verify its seal and its schema version.

    Args:
        path: the file.
        kind: the expected kind.

    Raises:
        ResultsError: the file is missing, unreadable, damaged, of another kind or of another schema version.
    """
    stored = read_any_version(path, kind)
    check_version(path, kind, stored.attributes)
    return stored


def read_any_version(path: Path, kind: FileKind) -> StoredArrays:
    """Read a file of any schema version into memory, and verify its seal.

    Args:
        path: the file.
        kind: the expected kind.

    Raises:
        ResultsError: the file is missing, unreadable, damaged or of another kind.
    """
    with _opened(path, kind) as file:
        try:
            stored = _stored(file)
        except Exception as error:
            _refuse_damaged(path, kind, error)
    stored.attributes.pop("digest", None)
    return stored


def check_unsealed(path: Path) -> None:
    """Read a file without a seal, to its last value, and verify the checksum of its values if it has one.

    HDF5 may run for ever in a damaged file: call this function in a process that can be ended.

    Args:
        path: the file.

    Raises:
        ResultsError: the file cannot be read, or its values are not those that were written.
    """
    import netCDF4

    try:
        # As every reader does it: HDF5 shares what it knows of a file that it could not close with the next reading.
        with netCDF4.Dataset(path.name, memory=path.read_bytes()) as file:
            stored = _stored(file)
            for group in file.groups.values():
                _stored(group)
    except Exception as error:  # OSError, RuntimeError, UnicodeError, ..., depending on the damage
        raise ResultsError(f"{path}: damaged, or no netCDF file ({type(error).__name__}: {error})") from error
    if "digest" in stored.attributes and stored.attributes["digest"] != digest(stored.variables):
        raise ResultsError(f"{path}: damaged: its values do not have the checksum that was written with them")


def write_dataset(path: Path, kind: FileKind, ds: "xr.Dataset") -> None:
    """Write a dataset, whole or not at all.

    Args:
        path: the file.
        kind: kind of the file; its schema version and that of hornlib become attributes.
        ds: the dataset, of any dimensions (..).

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    with _sealed_atomically(path) as temporary:
        _append(temporary, ds.assign_attrs({**ds.attrs, **provenance(kind)}), None)


def write_groups(
    path: Path, kind: FileKind, attributes: Mapping[str, Any], groups: Iterable[tuple[str, "xr.Dataset"]]
) -> None:
    """Write datasets as the groups of one file, whole or not at all.

    Args:
        path: the file.
        kind: kind of the file; its schema version and that of hornlib become global attributes.
        attributes: further global attributes.
        groups: name and dataset (..) of each group. All are made before the file is begun.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    import xarray as xr

    groups = list(groups)  # an error of what makes them is no error of the writing
    with _sealed_atomically(path) as temporary:
        _append(temporary, xr.Dataset(attrs={**attributes, **provenance(kind)}), None)
        for name, ds in groups:
            _append(temporary, ds, name)


def load_dataset(path: Path, kind: FileKind, group: str | None = None) -> "xr.Dataset":
    """Read a dataset into memory, and verify the seal and the schema version of its file.

    Args:
        path: the file.
        kind: the expected kind.
        group: of the file; None for the root.

    Returns:
        The dataset with the dimensions that were written, (..).

    Raises:
        ResultsError: the file is missing, unreadable, damaged, of another kind or of another schema version, or
            there is no such group.
    """
    with _opened(path, kind) as file:
        _check_version_of(path, kind, file)
        return _loaded(path, kind, file, group)


def load_groups(path: Path, kind: FileKind) -> dict[str, "xr.Dataset"]:
    """Read every group of a file into memory, and verify its seal and its schema version.

    Args:
        path: the file.
        kind: the expected kind.

    Returns:
        Name of the group -> its dataset with the dimensions that were written, (..).

    Raises:
        ResultsError: the file is missing, unreadable, damaged, of another kind or of another schema version.
    """
    with _opened(path, kind) as file:
        _check_version_of(path, kind, file)
        return {name: _loaded(path, kind, file, name) for name in file.groups}


@contextmanager
def _sealed_atomically(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary name; the file written there is sealed and renamed to `path` when the block ends."""
    with written_atomically(path, overwrite) as temporary:
        yield temporary
        seal(temporary)


@contextmanager
def _opened(path: Path, kind: FileKind) -> Iterator["netCDF4.Dataset"]:
    """Give a file that was read into memory and verified, so that nothing locks it or keeps it open."""
    import netCDF4

    content = read_sealed(path, kind)
    try:
        file = netCDF4.Dataset(path.name, memory=content)
    except Exception as error:  # OSError, RuntimeError, UnicodeError, ..., depending on the damage
        _refuse_damaged(path, kind, error)
    with file:
        if lacking := [name for name in kind.essential if name not in {*file.variables, *file.dimensions}]:
            raise ResultsError(f"{path}: is no {kind.name}: it has no {', '.join(lacking)}. {kind.remedy}")
        yield file


def _check_version_of(path: Path, kind: FileKind, file: "netCDF4.Dataset") -> None:
    try:
        attributes = file.__dict__
    except Exception as error:
        _refuse_damaged(path, kind, error)
    check_version(path, kind, attributes)


def _stored(file: "netCDF4.Dataset") -> StoredArrays:
    """Return the arrays and the attributes of a file or group, without its groups."""
    file.set_auto_maskandscale(False)
    file.set_auto_chartostring(False)
    variables = {name: _values(variable) for name, variable in file.variables.items()}
    return StoredArrays(variables, {name: _plain(value) for name, value in file.__dict__.items()})


def _loaded(path: Path, kind: FileKind, file: "netCDF4.Dataset", group: str | None) -> "xr.Dataset":
    import xarray as xr

    if group is not None and group not in file.groups:
        raise ResultsError(f"{path}: has no group {group!r}; it has: {', '.join(file.groups)}. {kind.remedy}")
    try:
        ds = xr.open_dataset(xr.backends.NetCDF4DataStore(file, group=group)).load()
    except Exception as error:
        _refuse_damaged(path, kind, error)
    for name, variable in ds.variables.items():
        if variable.dtype == object:
            ds[name] = variable.copy(data=variable.values.astype(str))
    return with_plain_text(ds)


def _append(path: Path, ds: "xr.Dataset", group: str | None) -> None:
    """Add a group to a file, or write the root of a new one."""
    ds = with_plain_text(ds)
    for variable in ds.variables.values():
        if variable.dtype.kind in "fi" and variable.ndim:
            variable.encoding = {"zlib": True, "complevel": 1}
    with _errors_of_netcdf4_as_os_errors():
        ds.to_netcdf(path, mode="w" if group is None else "a", group=group, engine="netcdf4")


@contextmanager
def _errors_of_netcdf4_as_os_errors() -> Iterator[None]:
    """Raise a RuntimeError of netCDF4, e.g. on a full disk, as an OSError; one of other code stays itself."""
    try:
        yield
    except RuntimeError as error:
        raising_file = traceback.extract_tb(error.__traceback__)[-1].filename  # src/netCDF4/_netCDF4.pyx
        if "netCDF4" not in Path(raising_file).parts:
            raise
        raise OSError(str(error)) from error


def _values(variable: "netCDF4.Variable") -> np.ndarray:
    """Return a variable's values; characters (..., width) and NC_STRING become text (...)."""
    values = np.asarray(variable[...])
    if values.dtype == object:
        return values.astype(str)
    if values.dtype.kind == "S" and "_Encoding" in variable.ncattrs():
        return text_of(values)
    return values


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _refuse_damaged(path: Path, kind: FileKind, error: Exception) -> NoReturn:
    reason = f"{type(error).__name__}: {error}"
    raise ResultsError(f"{path}: damaged, or no {kind.name} ({reason}). {kind.remedy}") from error
