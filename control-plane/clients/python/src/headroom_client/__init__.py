"""Client of headroomd: shortens what tools have printed before a model reads it."""

from .client import HeadroomClient, Savings
from .service import AsyncService, Block, Compressed, Message, Plan, Service, ServiceError

__all__ = [
    "AsyncService",
    "Block",
    "Compressed",
    "HeadroomClient",
    "Message",
    "Plan",
    "Savings",
    "Service",
    "ServiceError",
]
