"""Errors, logging, seeds and files: what every other package may use."""

from reid.utils.device import pick_device
from reid.utils.digest import digest, digest_of_file
from reid.utils.errors import UNREADABLE, InputError, at_least_one, unknown_choice
from reid.utils.files import (
    append_jsonl,
    as_path,
    check_output,
    check_writable,
    short_name,
    write_atomically,
    write_json,
)
from reid.utils.lock import hold_folder
from reid.utils.log import say_once, setup_logging
from reid.utils.progress import progress_bar, refresh_interval
from reid.utils.seed import seed_everything, seeded_generator

__all__ = [
    "UNREADABLE",
    "InputError",
    "append_jsonl",
    "as_path",
    "at_least_one",
    "check_output",
    "check_writable",
    "digest",
    "digest_of_file",
    "hold_folder",
    "pick_device",
    "progress_bar",
    "refresh_interval",
    "say_once",
    "seed_everything",
    "seeded_generator",
    "setup_logging",
    "short_name",
    "unknown_choice",
    "write_atomically",
    "write_json",
]
