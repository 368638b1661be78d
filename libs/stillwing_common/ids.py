"""Opaque, sortable ids; the prefix says what they name: `ses_`, `mis_`, `ent_`, `cmd_`, `act_`, `snp_`, `req_`."""

from ulid import ULID


def new_id(prefix: str) -> str:
    """A fresh id `<prefix>_<26 characters>`, sortable by time of making."""
    if not prefix.isidentifier() or "_" in prefix:
        raise ValueError(f"{prefix!r} is no id prefix: letters and digits only")
    return f"{prefix}_{ULID()}"
