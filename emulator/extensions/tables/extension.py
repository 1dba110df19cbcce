"""The tables extension: inputs and outputs of the type table, in Azurite, the built-in store or an account in Azure.

Source: net-sdk, Microsoft.Azure.WebJobs.Extensions.Tables; docs/protocol/functions-host.md 8.5.
"""

from __future__ import annotations

from typing import Final

from emulator.extensions.tables.filter_template import render_filter
from emulator.extensions.tables.names import InvalidTableName, check_table_name, text_member
from emulator.extensions.tables.table_input import limit_of, read_rows
from emulator.extensions.tables.table_output import write_rows
from emulator.host.bindings import connection_of
from emulator.host.context import ExtensionContext
from emulator.host.port import BindingContext, Extension, Function, Input, Output
from emulator.logs import get_logger
from emulator.storage.filter_parser import InvalidFilter, parse_filter
from emulator.storage.filters import Either
from emulator.storage.port import StorageAccount
from emulator.worker.port import Binding, Datum

WHOLE_PARTITION_SETTING: Final = "AZEMU_TABLE_INPUT_WHOLE_PARTITION"
"""App setting: a table input with a row key reads its whole partition, as the Functions host does."""

_TYPE: Final = "table"

_log = get_logger(__name__)


def tables_extension(context: ExtensionContext) -> Extension:
    """Return the extension of table inputs and outputs."""
    whole_partition = context.settings.flag(WHOLE_PARTITION_SETTING)

    def account_of(binding: BindingContext) -> StorageAccount:
        return context.accounts(connection_of(binding.binding))

    async def read(binding: BindingContext) -> Datum:
        return await read_rows(binding, account_of(binding), whole_partition=whole_partition)

    async def write(binding: BindingContext, datum: Datum) -> None:
        await write_rows(binding, datum, account_of(binding))

    def validate_input(function: Function, binding: Binding) -> None:
        limit_of(binding)
        if context.first_start:
            _warn_about_name(function, binding)
            _warn_about_selection(function, binding, whole_partition=whole_partition)

    def validate_output(function: Function, binding: Binding) -> None:
        if context.first_start:
            _warn_about_name(function, binding)

    return Extension(
        name="tables",
        inputs={_TYPE: Input(read=read, validate=validate_input, renderers={"filter": render_filter})},
        outputs={_TYPE: Output(write=write, validate=validate_output)},
    )


def _warn_about_name(function: Function, binding: Binding) -> None:
    """Warn about a name that every run will refuse. The Functions host finds it in the first run only."""
    name = text_member(binding.properties, "tableName")
    # The name is known in an invocation only.
    if "{" in name:
        return
    try:
        check_table_name(name)
    except InvalidTableName as error:
        _log.warning(
            "The table binding '%s' of function '%s' will fail in every run: %s", binding.name, function.name, error
        )


def _warn_about_selection(function: Function, binding: Binding, *, whole_partition: bool) -> None:
    """Warn about what selects other rows than one may expect."""
    if text_member(binding.properties, "rowKey") and not whole_partition:
        _log.warning(
            "The table input '%s' of function '%s' has a row key and reads that row. On Azure it is ignored for "
            "Python, and the function gets all rows of the partition. A filter selects the row here and there: "
            "filter=\"RowKey eq '%s'\". The setting %s=true gives all rows here, too.",
            binding.name,
            function.name,
            text_member(binding.properties, "rowKey"),
            WHOLE_PARTITION_SETTING,
        )
    text = text_member(binding.properties, "filter")
    if "{" in text:
        return
    try:
        condition = parse_filter(text).parsed if text else None
    except InvalidFilter as error:
        _log.warning(
            "The table input '%s' of function '%s' will fail in every run: %s", binding.name, function.name, error
        )
        return
    if isinstance(condition, Either) and text_member(binding.properties, "partitionKey"):
        _log.warning(
            "The filter of the table input '%s' of function '%s' has an `or` outside of parentheses. What follows it "
            "applies to all partitions, here and on Azure. Put the filter in parentheses to stay in one partition.",
            binding.name,
            function.name,
        )
