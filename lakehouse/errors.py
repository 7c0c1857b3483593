"""What the lake refuses, each with the code of the public contract."""

from __future__ import annotations

from topology.errors import BadInputError, FaultError, MissingError, RefusedError


class LayerMismatchError(BadInputError):
    """A table's namespace and the layer it is written as disagree."""

    code = "layer_mismatch"


class SchemaMismatchError(BadInputError):
    """A column is missing, surplus, of another type or null; ``facts`` name column and types."""

    code = "schema_mismatch"


class TimestampTypeError(BadInputError):
    """A time has nanoseconds that would be lost, or another zone than UTC."""

    code = "timestamp_type"


class DuplicateKeyError(BadInputError):
    """A batch holds the same primary key twice; ``facts["keys"]`` shows the first three."""

    code = "duplicate_key"


class EmptyAppendError(BadInputError):
    """There is nothing to append."""

    code = "empty_append"


class IdempotencyConflictError(BadInputError):
    """The key was used for other rows; ``facts`` hold both digests."""

    code = "idempotency_conflict"


class TableNotFoundError(MissingError):
    """No table has this name; ``facts["nearest"]`` holds the names like it."""

    code = "table_not_found"


class SnapshotExpiredError(MissingError):
    """The snapshot asked for is not kept (any more); ``facts["oldest"]`` names the oldest kept."""

    code = "snapshot_expired"


class SqlNotAllowedError(RefusedError):
    """The query holds a construct that agents may not use; ``facts["construct"]`` names it."""

    code = "sql_not_allowed"


class InvalidSqlError(BadInputError):
    """The query does not parse, bind or run."""

    code = "invalid_arguments"


class SqlTimeoutError(BadInputError):
    """The query ran longer than it may."""

    code = "sql_timeout"


class SqlMemoryError(BadInputError):
    """The query or its result needs more memory than it may."""

    code = "sql_memory"


class DataChangedError(FaultError):
    """A data file changed while a query read it; this process answers no further query."""

    code = "data_changed"


class PathNotAllowedError(RefusedError):
    """The path is not one of a file below the folders that may be read."""

    code = "path_not_allowed"


class UnreadableFileError(BadInputError):
    """The file is not what it seems: broken archive, wrong encoding, a bomb, no table at all."""

    code = "unreadable_file"


class ProviderError(FaultError):
    """A provider's data is not there or not what its publisher gave out."""

    code = "provider_error"


class ExpressionSyntaxError(BadInputError):
    """A feature expression is not one; ``facts["position"]`` counts characters from 0."""

    code = "expression_syntax"


class LookaheadError(BadInputError):
    """A feature refers to the future; only a label may. ``facts["position"]`` says where."""

    code = "lookahead_expression"
