"""What can go wrong with the store, by whose fault it is and what may be done about it."""

from __future__ import annotations


class StoreError(Exception):
    """Anything the store raises on purpose."""


class DatabaseUnavailable(StoreError):
    """The database is away, full, restarting, or lost a race; try again with a delay."""


class SchemaMissing(DatabaseUnavailable):
    """The database has not been migrated yet; ``hemma server migrate`` does it, then try again."""


class RightsMissing(StoreError):
    """The database's user may not do this; the text says what. The operator gives it the rights."""


class DataRefused(StoreError):
    """The database refused these data, now and for ever: find the culprit and put it aside."""


class CatalogueConflict(StoreError):
    """The database was written with another meaning of a kind's number: our bug, stop."""


class UnknownName(StoreError):
    """A gateway, unit, patient or device named by a person does not exist; the text says which."""


class NameTaken(StoreError):
    """Somebody or something is called that already; choose another name."""


class BindingOverlap(DataRefused):
    """The device, or that user of it, already belongs to somebody in a part of the period."""
