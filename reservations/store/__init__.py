"""The orchestrator's database: reservations with their log, and the outbox. One writer for both."""

from reservations.store.outbox import Mark, OutboxStore
from reservations.store.sagas import Arrow, Fenced, Forgone, SagaStore
from reservations.store.schema import SCHEMA

__all__ = ["SCHEMA", "Arrow", "Fenced", "Forgone", "Mark", "OutboxStore", "SagaStore"]
